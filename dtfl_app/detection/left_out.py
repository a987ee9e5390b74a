"""Rows of a site's file that are left out: how many for which reason, and the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CELLS", "LEFT_OUT_SHARE", "ORDER", "TIME", "LeftOut"]

#: Share of a file's rows above which what is left out is an error: a few rows are torn by a power
#: cut, one in twenty means that the file is read in the wrong way.
LEFT_OUT_SHARE = 0.05

CELLS = "of another number of cells than the header"
TIME = "without a time in the schema's format"
ORDER = "not later than the one before"


class LeftOut:
    """Counts rows by the reason for which they are left out, and keeps the first.

    Parameters
    ----------
    state : of another one, to go on from it.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._counts: dict[str, int] = dict(state["counts"]) if state else {}
        self._first: str = state["first"] if state else ""

    def add(self, reason: str, row: int, why: str) -> None:
        """Count data row `row`, from 1 below the header, 0 above, and keep `why` of the first."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        where = f"data row {row}" if row else "a line before the header"
        self._first = self._first or f"{where}: {why}"

    def exceeds(self, share: float, rows: int) -> bool:
        """Whether more than a `share` in [0, 1] is left out, with `rows` that were not."""
        return self.total > share * (rows + self.total)

    @property
    def total(self) -> int:
        """How many are left out."""
        return sum(self._counts.values())

    def __str__(self) -> str:
        listed = ", ".join(f"{count} {reason}" for reason, count in self._counts.items())
        return f"{listed}; the first is {self._first}"

    def state(self) -> dict[str, Any]:
        """All that it depends on, as plain values."""
        return {"counts": dict(self._counts), "first": self._first}
