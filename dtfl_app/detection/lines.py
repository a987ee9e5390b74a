"""Bytes of a site's file cut into lines, whatever its encoding and its line ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.lines import LONGEST_LINE

__all__ = ["LineCutter", "read_lines"]

_LF, _CR = 10, 13


class LineCutter:
    """Tells where lines end in a file.

    Parameters
    ----------
    dialect : how the file is written.
    beginning : its first bytes, where there are any; they may say the order of bytes.

    `unit` is the number of bytes of a code unit, 1 or 2; no line begins within one.
    """

    def __init__(self, dialect: CsvDialect, beginning: bytes) -> None:
        self._encoding = dialect.codec(beginning) if dialect.wide else ""
        self.unit = 2 if dialect.wide else 1
        self._codes = "u1"
        if dialect.wide:
            self._codes = ">u2" if self._encoding.endswith("be") else "<u2"

    def ends(self, block: bytes, last: bool) -> list[int]:
        """Offsets in a block behind the end of each line: LF, CRLF or CR.

        A CR at its very end is one only if the block is the last: else LF may be to come.
        """
        codes = np.frombuffer(block, np.dtype(self._codes), len(block) // self.unit)
        found = np.flatnonzero((codes == _LF) | (codes == _CR))
        after = np.append(codes[1:], _CR if last else _LF)[found]
        return [int(end) for end in (found[(codes[found] == _LF) | (after != _LF)] + 1) * self.unit]

    def cut(self, block: bytes, ends: list[int]) -> list[bytes]:
        """Lines that end at `ends`, in UTF-8 where the file is in UTF-16."""
        starts = [0, *ends]
        lines = [block[start:end] for start, end in zip(starts, ends, strict=False)]
        return [self._narrow(line) for line in lines] if self._encoding else lines

    def beginning(self, block: bytes) -> bytes:
        """A line without an end within `LONGEST_LINE` bytes, to be handed on as such a one."""
        return self.cut(block, [LONGEST_LINE])[0]

    def _narrow(self, line: bytes) -> bytes:
        narrow = line.decode(self._encoding, errors="replace").encode()
        # What was too long stays so.
        return narrow.ljust(LONGEST_LINE) if len(line) >= LONGEST_LINE else narrow


def read_lines(file: BinaryIO, dialect: CsvDialect) -> Iterator[bytes]:
    """Yield lines with their ends; of one longer than `LONGEST_LINE` the beginning alone.

    Lines of a file in UTF-16 come in UTF-8.
    """
    block = file.read(LONGEST_LINE)
    cutter, rest, endless = LineCutter(dialect, block[:2]), b"", False
    while block or rest:
        content = rest + block
        ends = cutter.ends(content, last=not block)
        lines = cutter.cut(content, ends)
        yield from lines[endless:]
        endless = endless and not ends
        rest = content[ends[-1] if ends else 0 :]
        if not block:
            if rest and not endless:
                yield from cutter.cut(rest, [len(rest)])
            return
        if len(rest) >= LONGEST_LINE:
            if not endless:
                yield cutter.beginning(rest)
            # Its last unit may be a CR, and half a unit may follow.
            endless, rest = True, rest[-cutter.unit - len(rest) % cutter.unit :]
        block = file.read(LONGEST_LINE)
