"""Workers that share the tasks of a bench, each a process with a SuperLink of its own.

A SuperLink of its own, because a run's end is told by the newest run of its link. A worker that is
told to stop, or whose bench is gone, stops all that it started.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Protocol

import torch

from dtfl_app.bench.tasks import Place, Task, perform
from dtfl_app.core.errors import DTFLError
from dtfl_app.engine.launch import SuperLink, superlink

__all__ = ["Failure", "Watcher", "work_off"]

_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that did not end well, and why."""

    task: Task
    reason: str


class Watcher(Protocol):
    """What hears of a bench's progress."""

    def started(self, task: Task) -> None:
        """A worker took up the task."""

    def advanced(self, task: Task, units: float, at: str) -> None:
        """`units` of the task's work units are done; it is `at` something."""

    def ended(self, task: Task, seconds: float, reason: str) -> None:
        """The task ended; `reason` is "" unless it failed."""


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection[Any, Any]
    task: Task | None = None
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Advanced:
    units: float
    at: str


@dataclass(frozen=True, slots=True)
class _Ended:
    reason: str


def work_off(tasks: Sequence[Task], place: Place, watcher: Watcher) -> list[Failure]:
    """Do all tasks with `place.jobs` workers; return those that failed, the rest is stored.

    Whatever leaves this function, also an interrupt, leaves no process behind.
    """
    waiting, failures = deque(tasks), list[Failure]()
    with _workers() as workers:
        while waiting or any(worker.task for worker in workers):
            while waiting and sum(worker.task is not None for worker in workers) < place.jobs:
                _hand_over(waiting.popleft(), workers, place, watcher)
            for pipe in wait([worker.pipe for worker in workers if worker.task]):
                worker = next(w for w in workers if w.pipe is pipe)
                failures += _listen(worker, workers, watcher)
    return failures


def _hand_over(task: Task, workers: list[_Worker], place: Place, watcher: Watcher) -> None:
    idle = [worker for worker in workers if worker.task is None]
    worker = idle[0] if idle else _hire(workers, place)
    worker.task, worker.since = task, time.monotonic()
    worker.pipe.send(task)
    watcher.started(task)


def _hire(workers: list[_Worker], place: Place) -> _Worker:
    # Spawned, for torch and EPANET do not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, place))
    process.start()
    theirs.close()
    workers.append(_Worker(process, ours))
    return workers[-1]


def _listen(worker: _Worker, workers: list[_Worker], watcher: Watcher) -> list[Failure]:
    """Hear what a worker has to say; a silent end is a failure of its task alone."""
    task = worker.task
    assert task is not None
    try:
        message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        workers.remove(worker)
        worker.process.join()
        message = _Ended(f"its worker died (exit code {worker.process.exitcode})")
    if isinstance(message, _Advanced):
        watcher.advanced(task, message.units, message.at)
        return []
    assert isinstance(message, _Ended)
    worker.task = None
    watcher.ended(task, time.monotonic() - worker.since, message.reason)
    return [Failure(task, message.reason)] if message.reason else []


@contextmanager
def _workers() -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        yield workers
        for worker in workers:
            worker.pipe.send(None)
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        for worker in workers:
            worker.process.join(_STOP_SECONDS)
            worker.process.kill()


# -- in the worker's process ----------------------------------------------------------------------


def _serve(pipe: Connection[Any, Any], place: Place) -> None:
    _leave_on_signals()
    # The models are small: a second thread costs more than it brings.
    torch.set_num_threads(1)
    with _Link() as link, suppress(EOFError):
        while (task := pipe.recv()) is not None:
            reason = ""
            try:
                perform(task, place, link.get, lambda units, at: pipe.send(_Advanced(units, at)))
            except (DTFLError, OSError, ValueError, RuntimeError) as error:
                reason = f"{type(error).__name__}: {error}"
                # Whatever state the engine is in, the next run shall not have it.
                link.close()
            pipe.send(_Ended(reason))


class _Link:
    """A SuperLink that is started when it is first needed, and again after a failure."""

    def __enter__(self) -> _Link:
        self._stack = ExitStack()
        self._link: SuperLink | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self) -> SuperLink:
        if self._link is None:
            self._link = self._stack.enter_context(superlink())
        return self._link

    def close(self) -> None:
        self._link = None
        self._stack.close()


def _leave_on_signals() -> None:
    """End by SystemExit, once, so that clean-up runs and a second signal does not cut it short."""

    def leave(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, leave)
