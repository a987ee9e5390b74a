"""A file that another program appends to, read line by line from where it was left.

Only complete lines are read. A file that is shorter than what was read, or begins otherwise than
when it was read, is a new one in the old one's place (rotated, or cut back); it is read from its
beginning. What the renamed old one still held is read first. Of a line that does not end within
`LONGEST_LINE` bytes the beginning alone is handed on, and the rest passed over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dtfl_app.core.errors import DataError
from dtfl_app.detection.lines import LineCutter
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.lines import LONGEST_LINE

__all__ = ["Batch", "Tail"]

# Lines of one commit: a second's work, and what a crash makes be scored again.
_BLOCK = 65536
# Bytes from a file's beginning that tell it from its successor: header, and the first times.
_HEAD = 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """What came.

    Parameters
    ----------
    lines : complete lines, with their ends, in UTF-8 of a file in UTF-16; none when nothing came.
    new_file : whether a new file begins with the first of them.
    cut : whether the file before ended in a line that was never finished.
    more : whether reading went on, if only through a line without an end.
    """

    lines: tuple[bytes, ...] = ()
    new_file: bool = False
    cut: bool = False
    more: bool = False


class Tail:
    """Reads the lines that a file grows by.

    Parameters
    ----------
    path : the file; it need not be there yet.
    dialect : how it is written.
    """

    def __init__(self, path: Path, dialect: CsvDialect) -> None:
        self._path, self._dialect = path, dialect
        self._file: BinaryIO | None = None
        self._offset = 0
        self._head = (0, _digest(b""))
        self._endless = False

    def poll(self) -> Batch:
        """Return the next lines; an empty batch when no complete one is there.

        Raises DataError when the file cannot be read.
        """
        try:
            return self._poll()
        except OSError as error:
            raise DataError(
                f"{self._path}: cannot be read ({error}); give this process the right to read it"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def state(self) -> dict[str, Any]:
        """Where reading stopped, as plain values."""
        return {
            "offset": self._offset,
            "head_bytes": self._head[0],
            "head_sha256": self._head[1],
            "endless": self._endless,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._offset = state["offset"]
        self._head = (state["head_bytes"], state["head_sha256"])
        # A state of before such lines were passed over does not say it.
        self._endless = state.get("endless", False)

    def _poll(self) -> Batch:
        if self._file is None and not self._open():
            return Batch()
        new_file = self._start_over() if self._replaced() else False
        lines, more = self._read()
        if more or new_file or not self._moved():
            return Batch(lines, new_file, more=more)
        lines, more = self._read(last=True)
        if more:
            return Batch(lines, more=True)
        # The renamed file is read to its end; its successor is under its name, or will be.
        cut = self._unfinished()
        self.close()
        if not self._open():
            return Batch(cut=cut)
        new_file = self._start_over() if self._replaced() else False
        lines, more = self._read()
        return Batch(lines, new_file, cut, more)

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _replaced(self) -> bool:
        """Whether the file is not the one that was read up to the offset."""
        assert self._file is not None
        length, digest = self._head
        return self._size() < self._offset or _digest(self._bytes(0, length)) != digest

    def _start_over(self) -> bool:
        self._offset, self._head, self._endless = 0, (0, _digest(b"")), False
        return True

    def _moved(self) -> bool:
        """Whether the path leads to another file than the one that is open, or to none."""
        assert self._file is not None
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._file.fileno())
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _unfinished(self) -> bool:
        return self._size() > self._offset and not self._endless

    def _read(self, last: bool = False) -> tuple[tuple[bytes, ...], bool]:
        """The next complete lines, and whether reading went on; `last` if no more is to come."""
        cutter = LineCutter(self._dialect, self._bytes(0, 2))
        if self._endless:
            return (), self._pass_over(cutter, last)
        block = self._bytes(self._offset, _BLOCK)
        ends = cutter.ends(block, last)
        if len(block) == _BLOCK and not ends:
            block = self._bytes(self._offset, LONGEST_LINE + cutter.unit)
            ends = cutter.ends(block, last)
        if not ends and len(block) == LONGEST_LINE + cutter.unit:
            self._endless = True
            self._advance(LONGEST_LINE)
            return (cutter.beginning(block),), True
        self._advance(ends[-1] if ends else 0)
        return tuple(cutter.cut(block, ends)), bool(ends)

    def _pass_over(self, cutter: LineCutter, last: bool) -> bool:
        """Go on to the end of a line whose beginning was handed on; whether anything came."""
        block = self._bytes(self._offset, LONGEST_LINE)
        ends = cutter.ends(block, last)
        self._endless = not ends
        # The last unit may be a CR; whole ones alone are passed over.
        passed = ends[0] if ends else len(block) - len(block) % cutter.unit - cutter.unit
        self._advance(max(passed, 0))
        return passed > 0

    def _advance(self, count: int) -> None:
        self._offset += count
        if count and self._head[0] < _HEAD:
            length = min(self._offset, _HEAD)
            self._head = (length, _digest(self._bytes(0, length)))

    def _bytes(self, offset: int, count: int) -> bytes:
        assert self._file is not None
        self._file.seek(offset)
        return self._file.read(count)

    def _size(self) -> int:
        assert self._file is not None
        return os.fstat(self._file.fileno()).st_size


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
