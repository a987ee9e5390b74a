"""dtfl detect as processes of its own: what it loads, and what survives when it is stopped."""

import json
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from benchmarks.detection import figures
from dtfl_app.sites.batadal import DATASET04
from tests.support.places import REPOSITORY
from tests.support.runs import Launcher

EVERYTHING = "instant,smoothed,plc,pump,balance"
# As on a gateway: what trains and simulates is not there.
GATEWAY = """
import sys
before = {name.partition(".")[0] for name in sys.modules}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"{name} is not on a gateway", name=name)
REFUSED = {"torch", "flwr", "ray", "sklearn", "scipy", "matplotlib", "wntr", "epyt"}
REFUSED |= {"pandas", "pyarrow"}  # nor these, for CSV
sys.meta_path.insert(0, Refuse())
from dtfl_app.cli.main import app
try:
    app(sys.argv[1:])
finally:
    loaded = {name.partition(".")[0] for name in sys.modules}
    print("loaded:", *sorted(loaded - before - set(sys.stdlib_module_names)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def model(launcher: Launcher) -> Path:
    run = launcher.run(strategy="cwa", rounds=2, detector__evidence=EVERYTHING)
    return run.path / "deploy" / "cwa"


@pytest.fixture(scope="module")
def lines(data_dir: Path) -> list[bytes]:
    return (data_dir / "batadal" / DATASET04).read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def one_shot(model: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Output of one pass over dataset04, and what the process loaded."""
    out = tmp_path_factory.mktemp("once") / "alarms.jsonl"
    data = data_dir / "batadal" / DATASET04
    words = ["detect", "--model", str(model), "--data", str(data), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", GATEWAY, *words, "--every-step"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (loaded,) = (line for line in done.stderr.splitlines() if line.startswith("loaded:"))
    return [loaded, *out.read_text().splitlines()]


def start(model: Path, data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "dtfl_app.cli.main",
        "detect",
        "--follow",
        "--interval",
        "0.02",
    ]
    command += ["--model", str(model), "--data", str(data), "--out", str(out), "--every-step"]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def committed(out: Path) -> int:
    """Rows that the state beside the output tells of."""
    state = out.with_name(f"{out.name}.state")
    if not state.exists():
        return 0
    return int(json.loads(state.read_bytes())["detection"]["scorer"]["counts"]["rows"])


def wait_for_rows(out: Path, rows: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while committed(out) < rows:
        assert process.poll() is None, "the process ended on its own"
        assert time.monotonic() < deadline, f"{committed(out)} rows after a minute"
        time.sleep(0.01)


def test_a_gateway_has_neither_torch_nor_flower_and_its_list_covers_what_is_loaded(
    one_shot: list[str],
) -> None:
    page = (REPOSITORY / "docker" / "detect-requirements.txt").read_text()
    listed = {line.partition("==")[0].lower().replace("_", "-") for line in page.splitlines()}
    homes = packages_distributions()

    loaded = [name for name in one_shot[0].split()[1:] if name in homes]

    assert {"numpy", "onnxruntime", "typer"} <= set(loaded)
    owners = {name: {home.lower().replace("_", "-") for home in homes[name]} for name in loaded}
    missing = {name for name, found in owners.items() if not found & (listed | {"dtfl"})}
    assert missing == set()


def test_a_gateway_s_help_says_which_commands_it_has() -> None:
    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", GATEWAY, *words],
            cwd=REPOSITORY, capture_output=True, text=True, check=False,
        )  # fmt: skip

    listed, refused = ask("--help"), ask("run", "rounds=3", "--app", "here")

    assert listed.returncode == 0, listed.stderr
    assert "Score a site's readings" in listed.stdout
    assert "is not installed" in listed.stdout
    assert refused.returncode == 2
    assert "error: dtfl run: Not on this machine" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_followed_file_loses_no_row_and_scores_none_twice_whatever_stops_it(
    model: Path, lines: list[bytes], one_shot: list[str], tmp_path: Path
) -> None:
    """Dataset04 in blocks that end within rows; the process is stopped, killed, started again.

    The last hour has an alarm: a finished file says that it is open, one that grows waits.
    """
    data, out = tmp_path / "site.csv", tmp_path / "alarms.jsonl"
    content = b"".join(lines)
    stops = [signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGINT]
    written, block = 0, len(content) // (2 * len(stops))
    for number, stop in enumerate(stops, start=1):
        process = start(model, data, out)
        try:
            while written < number * len(content) // len(stops):
                with data.open("ab") as file:
                    file.write(content[written : written + block + 17])
                written = min(written + block + 17, len(content))
            # In the middle of what was just written: a kill meets a process at work.
            complete = content[:written].count(b"\n") - 1
            wait_for_rows(out, complete if number == len(stops) else complete - 300, process)
            process.send_signal(stop)
            code = process.wait(timeout=30)
            assert code == (-stop if stop == signal.SIGKILL else 0)
        finally:
            process.kill()
            process.wait()

    *same, last = one_shot[1:]
    assert json.loads(last)["open"] is True
    assert out.read_text().splitlines() == same
    times = [json.loads(line)["time"] for line in one_shot[1:] if '"event"' not in line]
    assert len(set(times)) == len(lines) - 1
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_gateway_takes_less_than_200_mb(model: Path, lines: list[bytes], tmp_path: Path) -> None:
    data = tmp_path / "site.csv"
    data.write_bytes(b"".join(lines[:600]))

    _, _, _, peak_mb, _ = figures("a row", "gateway", model, data)

    assert 20 < float(peak_mb) < 200
