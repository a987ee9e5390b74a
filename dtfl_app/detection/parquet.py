"""Rows of a Parquet file, read as training reads them; what cannot be read is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.detection.rows import SensorRow
from dtfl_app.sites.cells import fitting_format
from dtfl_app.sites.columns import read_numbers, read_times
from dtfl_app.sites.readers import read_chunks, recordings, require_columns
from dtfl_app.sites.site_schema import SiteSchema
from twin.schema import INSTANCE

__all__ = ["parquet_rows"]


def parquet_rows(
    data: Path, site_schema: SiteSchema, optional: Collection[str]
) -> Iterator[SensorRow | str]:
    """Yield a file's rows; of one without a time, why it is none.

    Parameters
    ----------
    data : the file.
    site_schema : what its columns mean.
    optional : channels that it need not have.

    Raises DataError where it cannot be read or has no rows, SchemaError where a column is missing.
    """
    columns = [site_schema.columns[n] for n in site_schema.schema.names if n not in optional]
    form, count = "", 0
    for chunk in read_chunks(data):
        require_columns(chunk, [site_schema.time, *columns], data)
        times = chunk[site_schema.time]
        form = form or _first_form(times, site_schema.time_forms)
        yield from _rows(chunk, site_schema, form)
        count += len(chunk)
    if not count:
        raise DataError(f"{data}: the file holds no rows; expected at least one")


def _rows(chunk: pd.DataFrame, site_schema: SiteSchema, form: str) -> Iterator[SensorRow | str]:
    texts = chunk[site_schema.time]
    times = read_times(texts, form or site_schema.time_forms[0])
    readings = np.full((len(chunk), len(site_schema.schema.names)), np.nan)
    bad: dict[int, list[str]] = {}
    for place, name in enumerate(site_schema.schema.names):
        if (column := site_schema.columns[name]) in chunk:
            readings[:, place], odd = read_numbers(chunk[column], site_schema.csv.grammar)
            for row in odd:
                bad.setdefault(int(row), []).append(name)
    names = recordings(chunk[INSTANCE]).tolist() if INSTANCE in chunk else [""] * len(chunk)
    for row, time in enumerate(times.astype(np.int64)):
        if np.isnat(times[row]):
            expected = form or site_schema.time_forms
            yield f"{texts.iloc[row]!r} is not a time in the format {expected}"
        else:
            yield SensorRow(int(time), readings[row], tuple(bad.get(row, ())), names[row])


def _first_form(times: pd.Series[Any], formats: tuple[str, ...]) -> str:
    """The first format that fits the first time that any fits; "" where none fits."""
    found = (fitting_format(str(time), formats) for time in times)
    return next((form for form in found if form), "")
