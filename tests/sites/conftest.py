from collections.abc import Callable

import pandas as pd
import pytest

from tests.sites.demo_series import DEMO, make_series
from twin.schema import Schema


@pytest.fixture
def schema() -> Schema:
    return DEMO


@pytest.fixture
def series_of() -> Callable[..., pd.DataFrame]:
    return make_series
