"""Flower's real engine for tests: one SuperLink for the whole session, and small federations."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dtfl_app.engine.launch import SuperLink, superlink

REPOSITORY = Path(__file__).parents[2]

# Small, so that a run takes seconds: three plants with nine days each.
SMALL = {
    "dataset": "plants",
    "sites": 3,
    "plants.days": 9,
    "twin.scenarios": 4,
    "twin.hours": 120,
    "twin.warm-steps": 50,
    "detector.hidden": 32,
    "detector.latent": 8,
    "rounds": 3,
}


@pytest.fixture(scope="session")
def engine() -> Iterator[SuperLink]:
    with superlink() as link:
        yield link


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")
