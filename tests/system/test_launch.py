"""Starting and stopping Flower's engine leaves nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dtfl_app.core.errors import FederationError
from dtfl_app.engine.launch import SuperLink, simulate, superlink
from tests.support.places import REPOSITORY, SMALL

# A test run in the background of a script has SIGINT ignored, and would hand that on.
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from dtfl_app.cli.main import app
app()
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_everything_it_started(
    sign: signal.Signals, cache: Path, tmp_path: Path
) -> None:
    settings = {**SMALL, "strategy": "fedavg", "rounds": 500, "twin.kind": "none"}
    words = [f"{key}={value}" for key, value in settings.items()]
    command = [
        *(sys.executable, "-c", START, "run", "--app", str(REPOSITORY), *words),
        *(f"results-dir={tmp_path}", "run-name=cut", f"cache-dir={cache}"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("fedavg round 1/500" in line for line in process.stdout)
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("ray" in " ".join(member.cmdline()) for member in family)

        process.send_signal(sign)
        code = process.wait(timeout=60)

    assert code != 0
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert (tmp_path / "cut" / "metrics.jsonl").read_text().count("\n") >= 2


def test_a_superlink_ends_with_its_block() -> None:
    before = set(psutil.Process().children(recursive=True))

    with superlink() as link:
        children = set(psutil.Process().children(recursive=True)) - before
        assert any("flower-superlink" in " ".join(child.cmdline()) for child in children)
        home = link.log.parent

    _, alive = psutil.wait_procs(list(children), timeout=20)
    assert alive == []
    assert not home.exists()


def test_a_run_that_fails_raises_although_flower_exits_with_zero(
    engine: SuperLink, tmp_path: Path
) -> None:
    settings = {
        **SMALL,
        "dataset": "threew",
        "data.dir": str(tmp_path),
        "results-dir": str(tmp_path),
    }

    with pytest.raises(FederationError, match="finished:failed"):
        list(simulate(engine, REPOSITORY, settings, sites=3, actors=2))
