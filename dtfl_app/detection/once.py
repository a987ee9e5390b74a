"""A finished file scored from its first row to its last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.lines import read_lines
from dtfl_app.detection.rows import SensorRow
from dtfl_app.sites.site_schema import CsvDialect, SiteSchema

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
    return detection, _csv_output(data, detection, bundle.site_schema.csv)


def _csv_output(data: Path, detection: Detection, dialect: CsvDialect) -> Iterator[str]:
    try:
        with data.open("rb") as file:
            for line in read_lines(file, dialect):
                yield from detection.lines([line])
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error})") from error
    yield from detection.turned()
    if not detection.counts.rows and not detection.counts.skipped:
        raise DataError(f"{data}: the file holds no rows; expected a header and at least one")


def _parquet_output(rows: Iterator[SensorRow | str], detection: Detection) -> Iterator[str]:
    for row in rows:
        yield from detection.rows([row])
    yield from detection.turned()


def _parquet_rows(
    data: Path, site_schema: SiteSchema, optional: list[str]
) -> Iterator[SensorRow | str]:
    try:
        # Loaded only here: a gateway with CSV files needs none of it.
        from dtfl_app.detection.parquet import parquet_rows  # noqa: PLC0415 - see above
    except ImportError as error:
        raise ConfigError(
            f"{data}: Parquet needs pandas and pyarrow ({error}); install them, or give a CSV file"
        ) from error
    return parquet_rows(data, site_schema, optional)
