"""CSV and Parquet files to data frames, with errors that name file, row and column.

Rows are counted from 1 below the header ("data row 1"), blank lines not counted.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.cells import repeated_columns
from dtfl_app.sites.columns import parse_numbers, parse_times
from dtfl_app.sites.csv_table import UNNAMED, csv_chunks
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.stretches import stretch_names
from twin.schema import ABNORMAL, EVENT, INSTANCE, LABEL, NORMAL, TIME, UNLABELLED, Schema

__all__ = [
    "UNNAMED",
    "assemble_series",
    "flagged_events",
    "read_chunks",
    "read_series",
    "read_table",
    "recordings",
    "require_columns",
    "require_readings",
    "require_rows",
]


# A string, because pandas' classes take no parameters at run time.
Column: TypeAlias = "list[str] | NDArray[np.object_] | pd.Series[Any]"


_USUAL = CsvDialect()
# What pandas calls a level of an index that has no name, in a file.
_NO_NAME = re.compile("__index_level_[0-9]+__")
# Rows of a Parquet file that are read at a time.
_BATCH = 2**16
# Bytes that tell UTF-16, in which every other one is zero.
_BEGINNING = 100


def _parquet_chunks(
    path: Path, dialect: CsvDialect, text: Collection[str], short_rows: bool
) -> Iterator[pd.DataFrame]:
    """Yield a Parquet file's rows, its index as columns; one without a name has none."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        kept = [
            name
            for name in schema.names
            if not (_NO_NAME.fullmatch(name) and pa.types.is_integer(schema.field(name).type))
        ]
        _require_room(file.metadata.num_rows, len(kept), path)
        batches = file.iter_batches(_BATCH, columns=kept)
        none = pa.RecordBatch.from_pylist([], schema.empty_table().select(kept).schema)
        for batch in itertools.chain([next(batches, none)], batches):
            # What pandas says of its index is left aside: that is a column as any other.
            yield pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True)


def _require_room(rows: int, columns: int, path: Path) -> None:
    """Raise DataError for a file that unpacks to more than the machine has memory for.

    Of equal readings a few bytes stand for any number of rows, and its footer says how many.
    """
    if not hasattr(os, "sysconf"):  # elsewhere the memory is not known
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if rows * columns * 8 > memory:
        raise DataError(
            f"{path}: its footer tells of {rows} rows of {columns} columns, {rows * columns * 8} "
            f"bytes when unpacked, and this machine has {memory}; cut it into shorter files"
        )


_READERS: dict[str, Callable[[Path, CsvDialect, Collection[str], bool], Iterator[pd.DataFrame]]] = {
    ".csv": csv_chunks,
    ".parquet": _parquet_chunks,
}


def read_chunks(
    path: Path,
    dialect: CsvDialect = _USUAL,
    text: Collection[str] = (),
    short_rows: bool = False,
) -> Iterator[pd.DataFrame]:
    """Read a .csv or .parquet file some megabytes at a time; at least one chunk, rows from 0.

    Every chunk has the same columns, with names as of `read_table`, and their rows one after
    another are those of `read_table`. Whether a column is of numbers or of texts is decided chunk
    by chunk, so that `read_numbers` gives of each what it gives of the whole, to the bit, and
    `parse_times` does where it is told one format, the one that fits the first row. Columns called
    so in `text` are texts in all.

    Parameters and errors as of `read_table`; an error of row n comes with the chunk that has it.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: cannot tell the format; expected a .csv or .parquet file")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the data directory or the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a header and at least one row")
    try:
        for chunk in reader(path, dialect, text, short_rows):
            chunk.columns = pd.Index([str(name).strip() for name in chunk.columns])
            if repeated := repeated_columns(list(chunk.columns)):
                raise SchemaError(f"{path}: {repeated}")
            yield chunk
    except UnicodeDecodeError as error:
        raise DataError(_strange_text(path, error)) from error
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: damaged, or not a {path.suffix} file ({error}); fetch or export it again"
        ) from error


def read_table(
    path: Path,
    dialect: CsvDialect = _USUAL,
    least: int = 1,
    text: Collection[str] = (),
    short_rows: bool = False,
) -> pd.DataFrame:
    """Read a .csv or .parquet file; column names come back without surrounding spaces.

    The columns called so in `text` stay texts in a CSV file, whatever is in them. With `short_rows`
    the last cells of a row may be left away. A column of Parquet's index is one as any other.

    Raises DataError when the file is missing, of another kind, damaged, without a header, with
    fewer than `least` rows, 0 or 1, or with two columns of one name.
    """
    chunks = list(read_chunks(path, dialect, text, short_rows))
    if mixed := _mixed_columns(chunks):
        chunks = list(read_chunks(path, dialect, [*text, *mixed], short_rows))
    frame = pd.concat(chunks, ignore_index=True) if len(chunks) > 1 else chunks[0]
    if least:
        require_rows(len(frame), path)
    return frame


def _mixed_columns(chunks: list[pd.DataFrame]) -> list[str]:
    """Columns that hold texts, or truth values, in some chunks and something else in others."""
    kinds = [{name: _kind(chunk[name]) for name in chunk.columns} for chunk in chunks]
    return [name for name in kinds[0] if len({kind[name] for kind in kinds}) > 1]


def _kind(column: pd.Series[Any]) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "truth"
    return "number" if pd.api.types.is_numeric_dtype(column) else str(column.dtype)


def _strange_text(path: Path, error: UnicodeDecodeError) -> str:
    with path.open("rb") as file:
        wide = b"\0" in file.read(_BEGINNING)
    if wide:
        return f'{path}: its text is in UTF-16; say so in the site schema: encoding = "utf-16"'
    return (
        f"{path}: its text is not in {error.encoding} ({error.reason}); say in the site schema what"
        ' it is in, e.g. encoding = "cp1252" (Windows, Western Europe), or save it as UTF-8'
    )


def require_rows(rows: int, path: Path) -> None:
    """Raise DataError where a file has no rows."""
    if not rows:
        raise DataError(f"{path}: the file holds no rows; expected at least one sample")


def require_columns(frame: pd.DataFrame, names: Iterable[str], path: Path) -> None:
    """Raise SchemaError unless `frame` has all columns in `names`."""
    wanted = list(names)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"{path}: columns {missing} are missing; expected {wanted}, "
            f"found {list(frame.columns)}. Rename or add them"
        )


def recordings(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the name of each row's recording, "" where it has none."""
    return column.astype("str").str.strip().fillna("")


def require_readings(values: pd.DataFrame, path: Path) -> None:
    """Raise DataError at the first row of `values` that holds no reading at all."""
    bad = np.flatnonzero(values.isna().all(axis=1).to_numpy())
    if bad.size:
        raise DataError(
            f"{path}: data row {int(bad[0]) + 1}: every channel is empty ({bad.size} such rows); "
            "remove these rows"
        )


def flagged_events(
    label: NDArray[np.int8], recording: Sequence[str] | None = None
) -> NDArray[np.object_]:
    """Name each run of abnormal rows "flagged-1", "flagged-2", and so on; "" elsewhere.

    Of a file with several recordings they carry the recording's name, "pump-7 flagged-1", and are
    numbered anew in each; `recording` names that of each row.
    """
    recordings = np.full(len(label), "") if recording is None else np.asarray(recording, object)
    codes, names = pd.factorize(recordings)
    abnormal, same = label == ABNORMAL, np.concatenate([[False], codes[1:] == codes[:-1]])
    first = abnormal & ~(np.concatenate([[False], abnormal[:-1]]) & same[: len(label)])
    number = pd.Series(first).groupby(codes).cumsum()
    whose = [f"{name} " if name and len(names) > 1 else "" for name in names]
    event = [
        f"{whose[code]}flagged-{i}" if bad else ""
        for code, i, bad in zip(codes, number, abnormal, strict=True)
    ]
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
    frame = read_table(path, text=(TIME,))
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
