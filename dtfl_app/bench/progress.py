"""How far a bench is, on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dtfl_app.bench.tasks import Task, work_units

__all__ = ["Display"]


class Display:
    """One bar for the whole bench with the time left, one line per task under way.

    Every task that ends leaves a line, so that a log without a terminal tells the same.
    """

    def __init__(self, tasks: Sequence[Task], console: Console) -> None:
        self._console = console
        self._count, self._ended = len(tasks), 0
        self._units: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[at]}", markup=False),
            console=console,
            speed_estimate_period=3600.0,
        )
        total = sum(work_units(task) for task in tasks)
        self._all = self._progress.add_task("bench", total=total, at=f"0 of {self._count}")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def started(self, task: Task) -> None:
        """Show the task under the whole bench's bar."""
        self._units[task.name] = 0.0
        bar = self._progress.add_task(f"  {task.name}", total=work_units(task), at="starting")
        self._bars[task.name] = bar

    def advanced(self, task: Task, units: float, at: str) -> None:
        """Move the task's bar, and the whole bench's by as much."""
        self._progress.update(self._bars[task.name], completed=units, at=at)
        self._progress.advance(self._all, units - self._units[task.name])
        self._units[task.name] = units

    def ended(self, task: Task, seconds: float, reason: str) -> None:
        """Leave one line that says how it went and how long the rest will take."""
        self.advanced(task, work_units(task), "done")
        self._progress.remove_task(self._bars.pop(task.name))
        self._ended += 1
        self._progress.update(self._all, at=f"{self._ended} of {self._count}")
        self._console.print(
            f"[{self._ended}/{self._count}] {task.name}: {reason or 'done'}, {seconds:.0f} s"
            f"{self._time_left()}",
            style="red" if reason else "",
            markup=False,
            highlight=False,
            # One line, however long: a terminal wraps it, a log keeps it whole.
            soft_wrap=True,
        )

    def _time_left(self) -> str:
        whole = self._progress.tasks[0]
        if self._ended == self._count or not whole.completed or whole.elapsed is None:
            return ""
        assert whole.total is not None
        left = max(0.0, whole.elapsed * (whole.total / whole.completed - 1.0))
        return f", about {left / 60:.0f} min left"
