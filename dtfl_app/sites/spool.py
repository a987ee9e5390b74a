"""Readings put into a temporary file chunk by chunk, and read back channel by channel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError

__all__ = ["ChannelSpool", "LateReadings", "spool_of"]

Readings = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LateReadings:
    """Readings of some channels that come into memory when they are asked for.

    Parameters
    ----------
    names : the channels.
    read : returns the readings of the channel so called, shape (n,).
    """

    names: tuple[str, ...]
    read: Callable[[str], Readings]

    def then(self, change: Callable[[str, Readings], Readings]) -> LateReadings:
        """Return them as `change` makes them of a channel's name and its readings."""
        return LateReadings(self.names, lambda name: change(name, self.read(name)))


class ChannelSpool:
    """Readings of the channels `names`, 8 bytes each, in a temporary `file`.

    `rows` : number of readings per channel so far.
    """

    def __init__(self, file: IO[bytes], names: Sequence[str]) -> None:
        self.names, self.rows = tuple(names), 0
        self._place = {name: place for place, name in enumerate(names)}
        self._file = file
        # Where each block begins in the file, and how many rows it has.
        self._blocks: list[tuple[int, int]] = []

    def add(self, block: Sequence[NDArray[np.float64]]) -> None:
        """Append readings, an array of shape (rows,) per channel; DataError on a full disk."""
        try:
            self._blocks.append((self._file.tell(), len(block[0])))
            for values in block:
                self._file.write(np.ascontiguousarray(values, dtype=np.float64).data)
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        self.rows += len(block[0])

    def channel(self, name: str) -> NDArray[np.float64]:
        """Return all readings of a channel, shape (`rows`,)."""
        values, place, row = np.empty(self.rows), self._place[name], 0
        for start, rows in self._blocks:
            self._file.seek(start + place * rows * values.itemsize)
            values[row : row + rows] = np.frombuffer(self._file.read(rows * values.itemsize))
            row += rows
        return values


@contextmanager
def spool_of(names: Sequence[str]) -> Iterator[ChannelSpool]:
    """Open an empty spool whose file is deleted at the end, whatever that is.

    Raises DataError where no temporary file can be made.
    """
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below; the `with` is not to catch
    except OSError as error:
        raise _no_room(error) from error
    with file:
        yield ChannelSpool(file, names)


def _no_room(error: OSError) -> DataError:
    return DataError(
        "the readings of a file that is checked are kept in a temporary one, 8 bytes each, which "
        f"cannot be written ({error}); make room where temporary files are, or name another folder "
        "for them in the environment variable TMPDIR"
    )
