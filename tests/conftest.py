"""Fixtures that every room's tests share."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from dtfl_app.engine.launch import SuperLink, superlink
from dtfl_app.sites.batadal import DATASET04
from tests.support.certificates import make_certificates
from tests.support.runs import Launcher, Run, make_recording

# The same examples in every run, and none that fails because the machine is busy.
hypothesis.settings.register_profile("dtfl", derandomize=True, deadline=None)
hypothesis.settings.load_profile("dtfl")

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


@pytest.fixture(scope="module")
def launcher(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """Starts whole runs in this process, on BATADAL's plant with a recorded twin."""
    folder = tmp_path_factory.mktemp("runs")
    make_recording(folder / "recording.parquet", data_dir)
    return Launcher(folder, data_dir, folder / "recording.parquet")


@pytest.fixture(scope="module")
def dataset04(data_dir: Path) -> Path:
    return data_dir / "batadal" / DATASET04


@pytest.fixture(scope="module")
def everything(launcher: Launcher) -> Run:
    """Two rounds of CWA, judged by all kinds of evidence."""
    return launcher.run(
        strategy="cwa", rounds=2, detector__evidence="instant,smoothed,plc,pump,balance"
    )


@pytest.fixture(scope="module")
def model(everything: Run) -> Path:
    """The bundle of that run, exported once per module."""
    return everything.path / "deploy" / "cwa"


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """Sound certificates for localhost, shared: nobody writes to them."""
    return make_certificates(tmp_path_factory.mktemp("sound") / "certs")


@pytest.fixture(scope="session")
def engine() -> Iterator[SuperLink]:
    """Flower's real engine: one SuperLink for the whole session."""
    with superlink() as link:
        yield link


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def quiet_afterwards():
    """`dtfl detect` in this process logs to the standard error of its call, and nowhere else."""
    yield
    logging.getLogger("dtfl.detect").handlers.clear()
    logging.getLogger("dtfl.detect").propagate = True
