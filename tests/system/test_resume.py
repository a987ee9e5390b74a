"""The server is killed in the middle of a run, and the run taken up again ends the same."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dtfl_app.engine.launch import SuperLink, simulate
from tests.support.places import REPOSITORY, SMALL

ROUNDS = 8
# All that a checkpoint must hold: a twin's copy, layers that sites keep, moments, 8-bit changes in
# both directions, and sites that sit out.
SETTINGS = {
    **SMALL,
    "strategy": "fedadam,lpe",
    "lpe.policy": "adaptive",
    "rounds": ROUNDS,
    "round.fraction": 0.7,
    "wire.upload-precision": "int8",
    "wire.download-precision": "int8",
    "checkpoint-every": 3,
}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "dtfl_app.cli.main", "run", "--app", str(REPOSITORY), *words]


def run_until_killed(words: list[str], line: str) -> None:
    """Start a run and kill every process of it, without warning, once it says `line`."""
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line in said for said in process.stdout)
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
        for member in family:
            if member.is_running():
                member.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=20)


@pytest.fixture(scope="module")
def whole(engine: SuperLink, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    settings = {**SETTINGS, "results-dir": str(folder), "cache-dir": str(cache), "run-name": "run"}
    list(simulate(engine, REPOSITORY, settings, sites=3, actors=2))
    return folder / "run"


def assert_same_bytes(run: Path, whole: Path) -> None:
    for name in ("models/fedadam.safetensors", "models/lpe.safetensors", "alarms/lpe.csv"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("metrics.jsonl", "calibration.json", "quality.json"):
        assert (run / name).read_text() == (whole / name).read_text(), name


@pytest.mark.parametrize("moment", ["fedadam round 5/", "lpe round 4/"])
def test_a_killed_run_taken_up_again_ends_byte_identical(
    moment: str, whole: Path, cache: Path, tmp_path: Path
) -> None:
    places = [f"results-dir={tmp_path}", "run-name=cut", f"cache-dir={cache}"]
    run_until_killed([*(f"{k}={v}" for k, v in SETTINGS.items()), *places], moment)
    before = (tmp_path / "cut" / "metrics.jsonl").read_text()

    done = subprocess.run(
        command(f"resume={tmp_path / 'cut'}", f"cache-dir={cache}"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "goes on after round" in done.stdout
    assert 0 < len(before) < len((whole / "metrics.jsonl").read_text())
    assert_same_bytes(tmp_path / "cut", whole)
