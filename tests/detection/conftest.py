"""Small models of real runs on BATADAL's plant, exported once per module."""

from pathlib import Path

import pytest

from dtfl_app.sites.batadal import DATASET04
from tests.support.runs import Launcher, Run

EVERYTHING = "instant,smoothed,plc,pump,balance"


@pytest.fixture(scope="module")
def dataset04(data_dir: Path) -> Path:
    return data_dir / "batadal" / DATASET04


@pytest.fixture(scope="module")
def everything(launcher: Launcher) -> Run:
    """Two rounds of CWA, judged by all kinds of evidence."""
    return launcher.run(strategy="cwa", rounds=2, evidence=EVERYTHING)


@pytest.fixture(scope="module")
def model(everything: Run) -> Path:
    """The deployable folder of that run."""
    return everything.path / "deploy" / "cwa"
