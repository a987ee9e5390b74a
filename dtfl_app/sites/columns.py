"""A file's columns as numbers and times, by the grammar of cells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.sites.cell_errors import not_a_number, not_a_time
from dtfl_app.sites.cells import ISO8601, CellGrammar, fitting_format, parse_time

__all__ = ["parse_numbers", "parse_times", "read_numbers", "read_times"]

_PLAIN = CellGrammar()
# Times that pandas reads as the grammar does, only faster.
_PLAIN_PARTS = {
    "%Y": "(?:19|20)[0-9]{2}",
    "%m": "[0-9]{2}",
    "%d": "[0-9]{2}",
    "%H": "(?:[01][0-9]|2[0-3])",
    "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]",
}
_PLAIN_ISO = (
    r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-9]{2}"
    r"(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
)
_NO_TIME = np.iinfo(np.int64).min


def parse_numbers(
    frame: pd.DataFrame, names: Iterable[str], path: Path, grammar: CellGrammar = _PLAIN
) -> pd.DataFrame:
    """Return the columns `names` as float64 (missing readings become NaN), index 0..n-1.

    Raises DataError at the first cell that is neither a number nor missing by the `grammar`.
    """
    return pd.DataFrame({name: _parse_column(frame[name], path, grammar) for name in names})


def _parse_column(column: pd.Series[Any], path: Path, grammar: CellGrammar) -> NDArray[np.float64]:
    parsed, bad = read_numbers(column, grammar)
    if bad.size:
        row = int(bad[0])
        raise not_a_number(path, str(column.name), row, column.iloc[row], bad.size, grammar)
    return parsed


def read_numbers(
    column: pd.Series[Any], grammar: CellGrammar
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return a column's numbers, NaN where none is, and the positions of what is neither."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        meant = np.isin(numbers, list(grammar.codes))
        return (np.where(meant, np.nan, numbers) if meant.any() else numbers), np.empty(0, np.intp)
    try:
        place, cells = pd.factorize(column)
    except TypeError:  # lists in Parquet
        place, cells = pd.factorize(column.astype("str"))
    found = [_read_cell(cell, grammar) for cell in cells]
    # The last one is where factorize's -1 for an empty cell leads to.
    values = np.array([*(np.nan if x is None else x for x in found), np.nan])
    bad = np.array([*(x is None for x in found), False])
    return values[place], np.flatnonzero(bad[place])


def _read_cell(cell: object, grammar: CellGrammar) -> float | None:
    """A cell of CSV is a text; one of Parquet may be a number of any kind."""
    if isinstance(cell, int | float | np.number | Decimal) and not isinstance(cell, bool):
        return grammar.kept(float(cell))
    return grammar.read(str(cell))


def parse_times(
    column: pd.Series[Any], path: Path, formats: tuple[str, ...] = (ISO8601,)
) -> NDArray[np.datetime64]:
    """Return time stamps as datetime64[ns] without zone (a stated zone is converted to UTC).

    The first of `formats` (see `cells.parse_time`) that fits the first row is used for all.
    Raises DataError at the first cell that does not fit it.
    """
    first = str(column.iloc[0]) if len(column) else ""
    parsed = read_times(column, fitting_format(first, formats) or formats[0])
    bad = np.flatnonzero(np.isnat(parsed))
    if bad.size:
        row = int(bad[0])
        raise not_a_time(path, str(column.name), row, column.iloc[row], formats)
    return parsed


def read_times(column: pd.Series[Any], form: str) -> NDArray[np.datetime64]:
    """Return time stamps as `parse_times` does, NaT where one is not in the format."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return _without_zone(pd.to_datetime(column, utc=True))
    # Digits alone are a date written without dashes, not nanoseconds since 1970.
    text = column.astype("str")
    plain = _plain_times(form)
    if plain and bool(text.str.fullmatch(plain).eq(True).all()):
        return _without_zone(pd.to_datetime(text, format=form, errors="coerce", utc=True))
    found = (parse_time(str(cell), form) for cell in text)
    ns = (_NO_TIME if time is None else time for time in found)
    return np.fromiter(ns, np.int64, len(text)).view("datetime64[ns]")


def _plain_times(form: str) -> str:
    """What times of a format look like that pandas reads alike; "" where it may not."""
    if form == ISO8601:
        return _PLAIN_ISO
    parts = re.findall(r"%.|[^%]+", form)
    if "%Y" not in parts or any(p[0] == "%" and p not in _PLAIN_PARTS for p in parts):
        return ""
    return "".join(_PLAIN_PARTS.get(part) or re.escape(part) for part in parts)


def _without_zone(times: pd.Series[pd.Timestamp]) -> NDArray[np.datetime64]:
    plain = times.dt.tz_localize(None)
    # Coarser ones than ns reach further than 64 bits of ns do.
    held = plain.between(pd.Timestamp.min.ceil("s"), pd.Timestamp.max.floor("s"))
    return plain.where(held).to_numpy(dtype="datetime64[ns]")
