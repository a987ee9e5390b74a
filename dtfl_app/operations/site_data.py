"""The check of a site's own file against its schema, by the reader that training uses."""

from __future__ import annotations

from pathlib import Path

from dtfl_app.core.errors import DataError
from dtfl_app.operations.findings import CheckResult, failed, good
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_schema import read_site_schema

__all__ = ["check_data"]


def check_data(data: Path, schema: Path, site: str = "") -> list[CheckResult]:
    """Read the file of `site` as its schema says; the reader's error is what was found."""
    try:
        layout = read_site_schema(schema)
    except DataError as error:
        return [failed("schema", str(error), "correct the TOML where it says")]
    agreed = layout.schema
    channels = f"{len(agreed.channels)} channels, {agreed.period_s:g} s"
    found = [good("schema", f"{agreed.name}: {channels}")]
    try:
        series, _ = load_own_file(data, layout, site)
    except DataError as error:
        mend = f"dtfl site check {data} --schema {schema} says what to do about it"
        return [*found, failed("data", str(error), mend)]
    return [*found, good("data", f"{data}: {len(series)} rows, as the schema says")]
