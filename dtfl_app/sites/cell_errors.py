"""Errors of cells that say neither a number nor a time."""

from __future__ import annotations

from pathlib import Path

from dtfl_app.core.errors import DataError
from dtfl_app.sites.cells import CellGrammar

__all__ = ["not_a_number", "not_a_time"]


def not_a_number(
    path: Path, column: str, row: int, cell: object, count: int, grammar: CellGrammar
) -> DataError:
    """The error of a column with `count` cells that are no number, `cell` in row 0.. the first."""
    return DataError(
        f"{path}: data row {row + 1}, column {column!r}: {cell!r} is not a number "
        f"({count} such cells); {grammar.advice(str(cell))}"
    )


def not_a_time(
    path: Path, column: str, row: int, cell: object, formats: tuple[str, ...]
) -> DataError:
    """The error of a column of times whose `cell` in row 0.. is the first that is none."""
    return DataError(
        f"{path}: data row {row + 1}, column {column!r}: {cell!r} is not a time; expected one "
        f"format throughout, of {list(formats)}, in the years 1678 to 2261. A site schema says "
        "another format with time-formats or time-unit"
    )
