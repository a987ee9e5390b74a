"""Lines of a site's file as bytes, and what may stand in their place after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from dtfl_app.detection.left_out import DAMAGED, ENDLESS

__all__ = ["LONGEST_LINE", "damage", "read_lines"]

#: Bytes within which a line ends, or none of it is a row.
LONGEST_LINE = 2**20


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their ends; of one longer than `LONGEST_LINE` the beginning alone."""
    while line := file.readline(LONGEST_LINE):
        yield line
        while _endless(line):
            line = file.readline(LONGEST_LINE)


def damage(line: bytes) -> tuple[str, str] | None:
    """Return the reason, and a sentence on it, why a line is none of text; None where it is."""
    if _endless(line):
        return ENDLESS, f"it does not end within {LONGEST_LINE} bytes"
    if zeros := line.count(0):
        return DAMAGED, f"it holds {zeros} NUL bytes, as a power cut leaves them, or UTF-16"
    return None


def _endless(line: bytes) -> bool:
    return len(line) == LONGEST_LINE and not line.endswith(b"\n")
