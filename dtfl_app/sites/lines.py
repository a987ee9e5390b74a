"""Where a line of a site's file ends, what is none of text, and how many cells make a row.

Training reads whole files and a gateway single lines; both ask here.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["DAMAGED", "ENDLESS", "LONGEST_LINE", "damage", "fit_row"]

#: Bytes within which a line ends, or none of it is a row.
LONGEST_LINE = 2**20
#: Why a line is none of text.
DAMAGED = "that are not text"
ENDLESS = "without an end"


def damage(line: bytes) -> tuple[str, str] | None:
    """Return the reason, and a sentence on it, why a line is none of text; None where it is.

    The line comes without its end.
    """
    if len(line) >= LONGEST_LINE:
        return ENDLESS, f"it does not end within {LONGEST_LINE} bytes"
    if zeros := line.count(0):
        return DAMAGED, f"it holds {zeros} NUL bytes, as a power cut leaves them, or UTF-16"
    return None


def fit_row(cells: Sequence[str], header: Sequence[str]) -> list[str] | None:
    """Return a row's cells, as many as the header has; None where they do not fit it.

    Empty cells beyond the header's do not count: many loggers end each row with a separator. Nor
    do cells that are not there below columns without a name.
    """
    named = len(header)
    while named and not header[named - 1]:
        named -= 1
    if len(cells) < named or any(cells[len(header) :]):
        return None
    found = list(cells[: len(header)])
    return found + [""] * (len(header) - len(found))
