"""Another Flower app runs on the SuperLink that ours uses, whoever came first."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtfl_app.engine.launch import SuperLink, simulate, superlink
from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY, SMALL

OTHER = REPOSITORY / "tests" / "support" / "other-app"


@pytest.fixture(scope="module")
def shared() -> Iterator[SuperLink]:
    """A SuperLink as the first `flwr run .` in our folder leaves it: that is its current folder."""
    with contextlib.chdir(REPOSITORY), superlink() as link:
        yield link


def run_ours(link: SuperLink, folder: Path, cache: Path, name: str) -> None:
    settings = {**SMALL, "sites": 2, "rounds": 1, "strategy": "fedavg", "twin.kind": "none"}
    places = {"results-dir": str(folder), "run-name": name, "cache-dir": str(cache)}
    list(simulate(link, REPOSITORY, {**settings, **places}, sites=2, actors=2))


def test_another_app_with_our_module_names_runs_between_two_runs_of_ours(
    shared: SuperLink, cache: Path, tmp_path: Path
) -> None:
    run_ours(shared, tmp_path, cache, "before")
    log = list(simulate(shared, OTHER, {"rounds": 2}, sites=2, actors=2))
    run_ours(shared, tmp_path, cache, "after")

    (printed,) = [line for line in log if "other app:" in line]
    assert json.loads(printed.partition("other app:")[2]) == {
        "1": {"loss": 0.5},
        "2": {"loss": 0.5},
    }
    before, after = (read_lines(tmp_path / name / "metrics.jsonl") for name in ("before", "after"))
    assert [line.sites for line in before] == [0, 2]
    assert [line.metrics for line in before] == [line.metrics for line in after]
