"""A file followed as it grows: every row is scored exactly once, whatever happens to the process.

After each batch of lines the output is flushed to disk, then the output's length, the place in the
file and the scorer's whole state are written in one move. A process that was killed in between
finds an output longer than that length, cuts it back and scores the batch again, to the same bytes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.reading import parse, read_file
from dtfl_app.core.errors import BundleError, ResultsError
from dtfl_app.detection.detection import Detection, DetectionOptions, log
from dtfl_app.detection.state_record import RESET, committed, restore
from dtfl_app.detection.tail import Batch, Tail
from twin.files import write_atomically

__all__ = ["Following", "follow", "state_path"]

_FORMAT = 2
# Bytes of the largest state that is read: a week of a hundred channels by the second has less.
_MOST = 1 << 30


@dataclass(frozen=True, slots=True)
class Following:
    """How a file is followed.

    Parameters
    ----------
    data : the file that grows.
    out : file that output is appended to.
    interval : seconds from one look to the next where nothing came, > 0.
    until_idle : seconds without a new line after which it ends; 0 = never.
    """

    data: Path
    out: Path
    interval: float = 1.0
    until_idle: float = 0.0


def state_path(out: Path) -> Path:
    """Where the place in a followed file is kept: beside its output."""
    return out.with_name(f"{out.name}.state")


def follow(
    bundle: Bundle,
    options: DetectionOptions,
    following: Following,
    stopped: Callable[[float], bool],
) -> Detection:
    """Score a file as it grows, until it is `stopped` or idle for long; return the detection.

    Parameters
    ----------
    bundle, options : the detector and what a person chose.
    following : files and times.
    stopped : waits so many seconds, less when it is to stop, and tells whether it is.

    Raises BundleError when the state beside the output is of another model, file or options.
    """
    detection = Detection(bundle, options, str(following.data))
    source = Tail(following.data, bundle.site_schema.csv)
    binding = {
        "format": _FORMAT,
        "model": bundle.version,
        "input": str(following.data.absolute()),
        "options": options.to_mapping(),
    }
    with _Output(following.out, binding) as output:
        if output.resumed is None:
            # Whose output it is must be known before there is any.
            output.commit([], _state(detection, source))
        else:
            restore(output.resumed, bundle, detection, source, state_path(following.out))
            log.info("going on after %d rows", detection.counts.rows)
        if not following.data.exists():
            log.info("waiting for %s", following.data)
        idle_since, pause = time.monotonic(), 0.0
        while not stopped(pause):
            batch = source.poll()
            _score(detection, batch, output, source)
            detection.warn_of_left_out()
            detection.warn_of_no_step()
            if batch.more:
                idle_since, pause = time.monotonic(), 0.0
                continue
            if following.until_idle and time.monotonic() - idle_since >= following.until_idle:
                break
            pause = following.interval
    source.close()
    return detection


def _score(detection: Detection, batch: Batch, output: _Output, source: Tail) -> None:
    if batch.cut:
        log.warning("the file was replaced; its last line was never finished and is left out")
    if batch.new_file:
        log.info("the file was replaced or cut back: starting at its beginning")
        detection.new_file()
    if batch.lines or batch.new_file:
        found = detection.lines(batch.lines)
        output.commit(found, _state(detection, source))


def _state(detection: Detection, source: Tail) -> dict[str, Any]:
    return {"file": source.state(), "detection": detection.state()}


class _Output:
    """The file of alarms and the state beside it.

    Parameters
    ----------
    path : file of alarms.
    binding : what a state must be of to go on from it.
    """

    def __init__(self, path: Path, binding: Mapping[str, Any]) -> None:
        self._path, self._state, self._binding = path, state_path(path), binding
        self._file: BinaryIO | None = None
        self._length = 0
        self.resumed: dict[str, Any] | None = None

    def __enter__(self) -> _Output:
        try:
            found = self._stored()
            if found is not None:
                self.resumed, self._length = found, committed(found, self._state)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            self._claim()
            self._cut_back(found is not None)
            # What a process left that was killed while it wrote its state.
            for stale in self._state.parent.glob(f".{self._state.name}.*"):
                stale.unlink()
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def commit(self, lines: list[str], state: Mapping[str, Any]) -> None:
        """Append lines, and keep what goes on from there; both are on disk when it returns."""
        assert self._file is not None
        content = "".join(f"{line}\n" for line in lines).encode()
        try:
            if content:
                self._file.write(content)
                self._file.flush()
                os.fsync(self._file.fileno())
            self._length += len(content)
            whole = {**self._binding, "committed": self._length, **state}
            write_atomically(self._state, json.dumps(whole).encode())
        except OSError as error:
            raise self._unwritable(error) from error

    def _claim(self) -> None:
        """Hold the file until this process ends; BundleError when another one does."""
        if os.name != "posix":  # elsewhere files cannot be held like this
            return
        import fcntl  # noqa: PLC0415 - see above

        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError(
                f"{self._path} is being written by another process that follows a file; end it, "
                "or name another file with --out"
            ) from None

    def _stored(self) -> dict[str, Any] | None:
        """Read the state; None where there is none."""
        try:
            content = read_file(self._state, _MOST, RESET)
        except FileNotFoundError:
            if self._path.exists() and self._path.stat().st_size:
                raise BundleError(
                    f"{self._path} is there, but no {self._state.name} beside it says how far it "
                    "is; name another file with --out, or begin anew with --reset"
                ) from None
            return None
        # Readings may be missing, which is NaN.
        found = parse(content, self._state, RESET, numbers_only=False)
        for key, wanted in self._binding.items():
            if found.get(key) != wanted:
                raise BundleError(
                    f"{self._state}: begun with {key} {found.get(key)}, now {wanted}; go on with "
                    "what it was begun with, name another --out, or begin anew with --reset"
                )
        return found

    def _cut_back(self, resumed: bool) -> None:
        assert self._file is not None
        size = self._path.stat().st_size
        if resumed and not size and self._length:
            log.info("%s was moved away: going on in a new file", self._path)
            self._length = 0
        elif size < self._length:
            raise BundleError(
                f"{self._path} has {size} bytes, {self._state.name} tells of {self._length}; put "
                "the file back, or begin anew with --reset"
            )
        self._file.truncate(self._length)

    def _unwritable(self, error: OSError) -> ResultsError:
        return ResultsError(
            f"{self._path} cannot be written ({error}); make room, and the same command goes on "
            "where it was"
        )
