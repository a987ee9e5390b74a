"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest

_DEFAULT_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the public data sets; absent, it skips a test, but in CI it fails it."""
    folder = Path(os.environ.get("DTFL_DATA") or _DEFAULT_DIR)
    if folder.is_dir():
        return folder
    reason = f"public data sets not found in {folder}; set DTFL_DATA to the folder with batadal/"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
