from collections.abc import Callable

import pandas as pd
import pytest

from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import read_site_schema
from tests.sites.demo_series import DEMO, make_series
from twin.schema import Schema


@pytest.fixture
def schema() -> Schema:
    return DEMO


@pytest.fixture
def series_of() -> Callable[..., pd.DataFrame]:
    return make_series


@pytest.fixture
def drafted(tmp_path):
    """Write a frame, draft its schema, and read that back."""

    def draft(frame: pd.DataFrame, ending: str = ".csv"):
        path = tmp_path / f"plant{ending}"
        if ending == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        (tmp_path / "schema.toml").write_text(draft_schema(path).toml)
        return read_site_schema(tmp_path / "schema.toml"), path

    return draft
