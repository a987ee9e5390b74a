"""docs/deploy.md brings up a fleet, trains it and raises alarms, by the commands as they stand."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY
from tests.support.servers import free_port

SITES = ("north", "east", "west")


def commands(page: str) -> list[str]:
    """The blocks to run; blocks without "sh" are shown only."""
    return re.findall(r"^```sh\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The fleet's folder; what its commands left running is stopped."""
    folder = tmp_path_factory.mktemp("deploy")
    yield folder
    for path in folder.glob("*.pid"):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(path.read_text())).terminate()


@pytest.fixture(scope="module")
def played(folder: Path) -> tuple[Path, str]:
    """The page's commands in one shell, on free ports; the fleet's folder and what was printed."""
    script = "\n".join(commands((REPOSITORY / "docs" / "deploy.md").read_text()))
    script = script.replace("port=9094", f"port={free_port()}")
    own = {k: v for k, v in os.environ.items() if not k.startswith(("FLWR_", "DTFL_"))}
    # What "make" made on a reader's machine.
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        env={**own, "PATH": path, "FLEET": str(folder), "PORT": str(free_port())},
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    logs = "\n".join(f"{p}:\n{p.read_text()[-1500:]}" for p in folder.glob("*.out"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + logs
    return folder, done.stdout


def test_the_page_trains_three_gateways(played: tuple[Path, str]) -> None:
    folder, printed = played

    assert [line.sites for line in read_lines(folder / "results" / "first" / "metrics.jsonl")] == [
        0, *[3] * 5,
    ]  # fmt: skip
    assert "cwa round 5/5" in printed
    assert "failed" not in [word for line in printed.splitlines() for word in line.split()[:1]]


def test_the_page_ends_with_an_alarm_that_names_time_channels_and_model(
    played: tuple[Path, str],
) -> None:
    folder, printed = played
    shown = json.loads(next(line for line in printed.splitlines() if line.startswith('{"')))
    manifest = json.loads((folder / "north" / "model" / "manifest.json").read_text())

    assert (shown["event"], shown["state"]) == ("alarm", "begins")
    assert shown["message"]
    assert shown["score"] > shown["threshold"]
    assert 0 < shown["p_value"] < 0.05
    assert shown["channels"]
    assert shown["site"] == "north"
    assert shown["model"] in json.dumps(manifest)


def test_the_page_leaves_no_process(played: tuple[Path, str]) -> None:
    folder, _ = played
    pids = [int(path.read_text()) for path in folder.glob("*.pid")]

    assert len(pids) == 1 + 2 * len(SITES)
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30
    )
    assert alive == []
