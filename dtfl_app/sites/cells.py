"""Cells of a site's file, one at a time: a gateway reads them as `readers` reads whole columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

__all__ = ["MISSING", "fitting_format", "parse_number", "parse_time"]

#: What writers of CSV put for "no reading"; pandas' own list.
MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def parse_number(cell: str, decimal: str) -> float:
    """Return a cell's number; NaN where it holds none."""
    # Python would read 1_000 as a thousand; no file means that.
    strange = "_" in cell or (decimal != "." and "." in cell)
    try:
        return math.nan if strange else float(cell.replace(decimal, "."))
    except ValueError:
        return math.nan


def parse_time(text: str, form: str) -> int | None:
    """Return a time in ns since 1970, of UTC where it states a zone; None where it does not fit.

    `form` is a format of ``strptime``, or "ISO8601".
    """
    try:
        iso = form == "ISO8601"
        found = datetime.fromisoformat(text) if iso else datetime.strptime(text, form)
    except ValueError:
        return None
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return (found - _EPOCH) // _MICROSECOND * 1000


def fitting_format(text: str, formats: Iterable[str]) -> str | None:
    """Return the first format that a time fits; None where it fits none."""
    return next((form for form in formats if parse_time(text, form) is not None), None)
