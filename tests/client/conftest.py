"""Fixtures of a site's tests."""

import pytest

from tests.support.small_dataset import SmallDataset, use_small_dataset


@pytest.fixture
def dataset(monkeypatch) -> SmallDataset:
    """100 rows per site, of which the last 20 are for calibration."""
    made = SmallDataset()
    use_small_dataset(monkeypatch, made)
    return made
