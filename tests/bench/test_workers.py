"""Workers are real processes here; their task, baselines without data, fails at once."""

import time
from contextlib import suppress

import psutil
import pytest
from rich.console import Console

from dtfl_app.bench.cells import BaselineCell, FlowerRun
from dtfl_app.bench.progress import Display
from dtfl_app.bench.tasks import Place, work_units
from dtfl_app.bench.workers import work_off
from dtfl_app.core.config import RunConfig


class Notes:
    """Keeps what it hears, and may kill the worker of the first task."""

    def __init__(self, kill_first=False):
        self.heard, self._kill = [], kill_first

    def started(self, task):
        self.heard.append(("started", task.name))
        if self._kill:
            self._kill = False
            spawned_worker().kill()

    def advanced(self, task, units, at):
        self.heard.append(("at", at))

    def ended(self, task, seconds, reason):
        self.heard.append(("ended", task.name))


def spawned_worker() -> psutil.Process:
    """The worker; a process just forked carries its parent's command line for a moment."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    return child
    raise AssertionError("no worker within 30 s")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, tmp_path / "work", tmp_path / "cache", str(tmp_path), 1, 1)


def baselines(seed):
    settings = RunConfig.from_mapping({"dataset": "threew", "sites": 5}).to_mapping()
    return BaselineCell("", "", seed, settings, f"digest-{seed}")


def test_a_task_that_fails_is_told_and_the_next_one_is_done(place):
    notes = Notes()

    failures = work_off([baselines(0), baselines(1)], place, notes)

    assert [failure.task.name for failure in failures] == [
        "baselines | seed 0",
        "baselines | seed 1",
    ]
    assert all("DataError" in failure.reason for failure in failures)
    assert notes.heard == [
        (what, entry)
        for seed in (0, 1)
        for what, entry in (
            ("started", f"baselines | seed {seed}"),
            ("at", "loading data"),
            ("ended", f"baselines | seed {seed}"),
        )
    ]


def test_a_worker_that_dies_fails_its_task_alone(place):
    before = psutil.Process().children()

    died, failed = work_off([baselines(0), baselines(1)], place, Notes(kill_first=True))

    assert "its worker died (exit code -9)" in died.reason
    assert "DataError" in failed.reason
    left = {c.pid for c in psutil.Process().children()} - {c.pid for c in before}
    commands = [" ".join(psutil.Process(pid).cmdline()) for pid in left]
    assert not [command for command in commands if "spawn_main" in command]


def test_the_display_leaves_a_line_per_task_with_the_time_left(capsys):
    run = FlowerRun("CWA | seed 0", {"rounds": 100}, {"cwa": "d", "lpe": "e"})
    tasks = [run, baselines(1)]

    with Display(tasks, Console(width=200)) as display:
        for task, reason in zip(tasks, ("", "no data"), strict=True):
            display.started(task)
            display.advanced(task, 1.0, "cwa round 1/100")
            display.ended(task, 12.0, reason)

    out = capsys.readouterr().out
    assert work_units(run) == 60 + 2 * 100
    assert "[1/2] CWA | seed 0 (and 1 more): done, 12 s, about 0 min left" in out
    assert "[2/2] baselines | seed 1: no data, 12 s" in out
