"""A finished file scored from its first row to its last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.lines import read_lines
from dtfl_app.detection.rows import SensorRow
from dtfl_app.sites.site_schema import SiteSchema
from twin.schema import INSTANCE

__all__ = ["score_file"]


def score_file(
    bundle: Bundle, options: DetectionOptions, data: Path
) -> tuple[Detection, Iterator[str]]:
    """Score a CSV or Parquet file; return the detection and its lines of output as they come.

    Raises DataError when the file is missing, of another kind, or not in the model's layout.
    """
    detection = Detection(bundle, options, str(data))
    if not data.is_file():
        raise DataError(f"{data}: no such file; check the path, or wait for it with --follow")
    if data.suffix.lower() == ".parquet":
        rows = _parquet_rows(data, bundle.site_schema, detection.scorer.missing)
        return detection, _parquet_output(rows, detection)
    return detection, _csv_output(data, detection)


def _csv_output(data: Path, detection: Detection) -> Iterator[str]:
    try:
        with data.open("rb") as file:
            for line in read_lines(file):
                yield from detection.lines([line])
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error})") from error
    if not detection.counts.rows and not detection.counts.skipped:
        raise DataError(f"{data}: the file holds no rows; expected a header and at least one")
    yield from detection.finish()


def _parquet_output(rows: Iterator[SensorRow], detection: Detection) -> Iterator[str]:
    for row in rows:
        yield from detection.rows([row])
    yield from detection.finish()


def _parquet_rows(data: Path, site_schema: SiteSchema, optional: list[str]) -> Iterator[SensorRow]:
    names, columns = site_schema.schema.names, site_schema.columns
    wanted = {name: columns[name] for name in names if name not in optional}
    times, values, instances = _parquet_columns(data, site_schema, list(wanted.values()))
    readings = np.full((len(times), len(names)), np.nan)
    for place, name in enumerate(names):
        if name in wanted:
            readings[:, place] = values[wanted[name]]
    for time, row, instance in zip(times, readings, instances, strict=True):
        yield SensorRow(int(time), row, (), instance)


def _parquet_columns(
    data: Path, site_schema: SiteSchema, columns: list[str]
) -> tuple[NDArray[np.int64], Mapping[str, NDArray[np.float64]], list[str]]:
    """Times in ns, the numbers of each column, and the recording of each row."""
    try:
        # Loaded only here: a gateway with CSV files needs none of it.
        from dtfl_app.sites.readers import (  # noqa: PLC0415 - see above
            parse_numbers,
            parse_times,
            read_table,
            require_columns,
        )

        frame = read_table(data).reset_index(drop=True)
    except ImportError as error:
        raise ConfigError(
            f"{data}: Parquet needs pandas and pyarrow ({error}); install them, or give a CSV file"
        ) from error
    require_columns(frame, [site_schema.time, *columns], data)
    times = parse_times(frame[site_schema.time], data, site_schema.time_forms)
    numbers = parse_numbers(frame, columns, data, site_schema.csv.grammar)
    instances = [""] * len(frame)
    if INSTANCE in frame:
        instances = frame[INSTANCE].astype("str").fillna("").tolist()
    return times.astype(np.int64), {n: numbers[n].to_numpy() for n in columns}, instances
