"""CSV and Parquet files to data frames, with errors that name file, row and column.

Rows are counted from 1 below the header ("data row 1"), blank lines not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.cells import MISSING, fitting_format
from dtfl_app.sites.site_schema import CsvDialect
from dtfl_app.sites.stretches import stretch_names
from twin.schema import ABNORMAL, EVENT, INSTANCE, LABEL, NORMAL, TIME, UNLABELLED, Schema

__all__ = [
    "assemble_series",
    "flagged_events",
    "parse_numbers",
    "parse_times",
    "read_series",
    "read_table",
    "require_columns",
    "require_readings",
]


# A string, because pandas' classes take no parameters at run time.
Column: TypeAlias = "list[str] | NDArray[np.object_] | pd.Series[Any]"


_USUAL = CsvDialect()


def _read_csv(path: Path, dialect: CsvDialect) -> pd.DataFrame:
    return pd.read_csv(
        path,
        sep=dialect.separator,
        decimal=dialect.decimal,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=sorted(MISSING),
        low_memory=False,
    )


def _read_parquet(path: Path, dialect: CsvDialect) -> pd.DataFrame:
    return pd.read_parquet(path)


_READERS: dict[str, Callable[[Path, CsvDialect], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def read_table(path: Path, dialect: CsvDialect = _USUAL, least: int = 1) -> pd.DataFrame:
    """Read a .csv or .parquet file; column names come back without surrounding spaces.

    Raises DataError when the file is missing, of another kind, damaged, without a header or with
    fewer than `least` rows, 0 or 1.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: cannot tell the format; expected a .csv or .parquet file")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the data directory or the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a header and at least one row")
    try:
        frame = reader(path, dialect)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: damaged, or not a {path.suffix} file ({error}); fetch or export it again"
        ) from error
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    if len(frame) < least:
        raise DataError(f"{path}: the file holds no rows; expected at least one sample")
    return frame


def require_columns(frame: pd.DataFrame, names: Iterable[str], path: Path) -> None:
    """Raise SchemaError unless `frame` has all columns in `names`."""
    wanted = list(names)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"{path}: columns {missing} are missing; expected {wanted}, "
            f"found {list(frame.columns)}. Rename or add them"
        )


def parse_numbers(frame: pd.DataFrame, names: Iterable[str], path: Path) -> pd.DataFrame:
    """Return the columns `names` as float64 (empty cells become NaN), index 0..n-1.

    Raises DataError at the first cell that is neither empty nor a number.
    """
    return pd.DataFrame({name: _parse_column(frame[name], name, path) for name in names})


def _parse_column(column: pd.Series[Any], name: str, path: Path) -> NDArray[np.float64]:
    parsed = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero((parsed.isna() & column.notna()).to_numpy())
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {name!r}: {column.iloc[row]!r} is not a number "
            f"({bad.size} such cells); correct it, or leave it empty if the reading is missing"
        )
    return parsed.to_numpy(dtype=np.float64, na_value=np.nan)


def parse_times(
    column: pd.Series[Any], path: Path, formats: tuple[str, ...] = ("ISO8601",)
) -> NDArray[np.datetime64]:
    """Return time stamps as datetime64[ns] without zone (a stated zone is converted to UTC).

    The first of `formats` (as in ``pandas.to_datetime``) that fits the first row is used for all.
    Raises DataError at the first cell that does not fit it.
    """
    first = str(column.iloc[0]) if len(column) else ""
    parsed = _to_times(column, fitting_format(first, formats) or formats[0])
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {column.name!r}: {column.iloc[row]!r} is not a "
            f"time; expected one format throughout, of {list(formats)}"
        )
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")


def _to_times(column: pd.Series[Any], form: str) -> pd.Series[pd.Timestamp]:
    # Digits alone are a date written without dashes, not nanoseconds since 1970.
    text = column.astype("str") if pd.api.types.is_numeric_dtype(column) else column
    return pd.to_datetime(text, format=form, errors="coerce", utc=True)


def require_readings(values: pd.DataFrame, path: Path) -> None:
    """Raise DataError at the first row of `values` that holds no reading at all."""
    bad = np.flatnonzero(values.isna().all(axis=1).to_numpy())
    if bad.size:
        raise DataError(
            f"{path}: data row {int(bad[0]) + 1}: every channel is empty ({bad.size} such rows); "
            "remove these rows"
        )


def flagged_events(label: NDArray[np.int8]) -> NDArray[np.object_]:
    """Name each run of abnormal rows "flagged-1", "flagged-2", and so on; "" elsewhere."""
    abnormal = label == ABNORMAL
    first = abnormal & ~np.concatenate([[False], abnormal[:-1]])
    event = [f"flagged-{i}" if bad else "" for i, bad in zip(first.cumsum(), abnormal, strict=True)]
    return np.array(event, dtype=object)


def assemble_series(
    time: NDArray[np.datetime64],
    values: pd.DataFrame,
    instance: Column,
    label: NDArray[np.int8],
    event: Column,
) -> pd.DataFrame:
    """Put the columns of a labelled series together in the order ``twin.schema`` gives."""
    head = pd.DataFrame({INSTANCE: instance, TIME: time})
    tail = pd.DataFrame({LABEL: label, EVENT: event})
    return pd.concat([head, values, tail], axis=1).astype({INSTANCE: "str", EVENT: "str"})


def read_series(path: Path, schema: Schema) -> pd.DataFrame:
    """Read a site's own file: `time`, the schema's channels and, if it has them, the labels.

    Optional columns and what stands in for them: `instance` (one per uninterrupted stretch),
    `label` (-1, unlabelled), `event` (""). Other columns are left out. A row without any reading
    is kept: it is a loss of communication, not a fault of the file.

    Returns
    -------
    Labelled series (see ``twin.schema``), validated against `schema`.
    """
    frame = read_table(path).reset_index(drop=True)
    require_columns(frame, [TIME, *schema.names], path)
    values = parse_numbers(frame, schema.names, path)
    if bool(values.isna().all(axis=None)):
        raise DataError(f"{path}: every reading of every channel is empty; nothing to learn from")
    time = parse_times(frame[TIME], path)
    series = assemble_series(
        time,
        values,
        _instances(frame, time, schema, path),
        _labels(frame, path),
        frame[EVENT].fillna("").astype(str) if EVENT in frame else [""] * len(frame),
    )
    schema.validate(series, str(path))
    return series


def _instances(
    frame: pd.DataFrame, time: NDArray[np.datetime64], schema: Schema, path: Path
) -> Column:
    if INSTANCE in frame:
        return frame[INSTANCE].astype(str)
    return stretch_names(time, schema.period_s, path.stem)


def _labels(frame: pd.DataFrame, path: Path) -> NDArray[np.int8]:
    if LABEL not in frame:
        return np.full(len(frame), UNLABELLED, dtype=np.int8)
    labels = parse_numbers(frame, [LABEL], path)[LABEL].fillna(UNLABELLED)
    strange = np.flatnonzero(~labels.isin([NORMAL, ABNORMAL, UNLABELLED]))
    if strange.size:
        row = int(strange[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {LABEL!r}: {labels[row]:g} is no label; "
            "expected 0 (normal), 1 (abnormal), or -1 or empty (unlabelled)"
        )
    return labels.to_numpy(dtype=np.int8)
