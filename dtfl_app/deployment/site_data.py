"""The check of a site's own file against its schema."""

from __future__ import annotations

from pathlib import Path

from dtfl_app.deployment.findings import Finding, failed, good
from dtfl_app.errors import DataError
from dtfl_app.sites.readers import parse_numbers, parse_times, read_table, require_columns
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema, read_site_schema

__all__ = ["check_data"]


def check_data(data: Path, schema: Path) -> list[Finding]:
    """Read a site's file as its schema says; the reader's error is what was found."""
    try:
        site = read_site_schema(schema)
    except DataError as error:
        return [failed("schema", str(error), "correct the TOML where it says")]
    channels = len(site.schema.channels)
    found = [good("schema", f"{site.schema.name}: {channels} channels, {site.schema.period_s:g} s")]
    try:
        rows = _read(data, site)
    except DataError as error:
        return [*found, failed("data", str(error), "export the file again, or correct the schema")]
    return [*found, good("data", f"{data}: {rows} rows, as the schema says")]


def _read(data: Path, site: SiteSchema) -> int:
    """Read the file's columns; return its rows. Raises DataError or SchemaError."""
    frame = read_table(data)
    columns = list(site.columns.values())
    labels = [site.labels.column] if isinstance(site.labels, LabelColumn) else []
    require_columns(frame, [site.time, *columns, *labels], data)
    parse_times(frame[site.time], data, site.time_formats)
    parse_numbers(frame, [*columns, *labels], data)
    return len(frame)
