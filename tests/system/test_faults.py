"""Sites that answer badly, die or hang, on Flower's real engine."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.altered_app import write_altered_app
from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.saved_models import load_model
from tests.support import faults
from tests.support.places import SMALL
from tests.support.refusals import REASONS
from tests.support.settings import keyed

STRATEGIES = ["fedavg", "dtml", "fpf", "lpe", "cwa", "dtkd"]
# Two bad replies a round, of other sites in the next; plant-01 is always honest.
PAIRS = [("plant-02", "plant-04"), ("plant-03", "plant-05")]
SITES = 5
Plan = Mapping[tuple[int, str], str]


class Finished:
    """What a run left behind."""

    def __init__(self, folder: Path, log: list[str]) -> None:
        self.folder = folder
        self.log = log
        self.lines = read_lines(folder / "metrics.jsonl")

    def of(self, strategy: str) -> list[RoundLine]:
        return [line for line in self.lines if line.strategy == strategy and line.round > 0]

    def refusals(self, strategy: str) -> dict[tuple[int, str], str]:
        """(round, site) -> reason."""
        events = map(json.loads, (self.folder / "events.jsonl").read_text().splitlines())
        return {
            (event["round"], event["site"]): event["reason"]
            for event in events
            if event["event"] == "refused" and event["strategy"] == strategy
        }

    def weights(self, strategy: str) -> dict[str, np.ndarray]:
        return dict(load_model(self.folder / "models" / f"{strategy}.safetensors").params)


def play(
    engine: SuperLink, folder: Path, cache: Path, plan: Plan, sites: int, **settings: object
) -> Finished:
    """Run with the faults of `plan`."""
    app = write_altered_app(folder / "app", Path(faults.__file__), "faults")
    chosen = {
        **SMALL,
        "sites": sites,
        "faults": faults.write_plan(plan),
        "results-dir": str(folder),
        "cache-dir": str(cache),
        "run-name": "run",
        **keyed(**settings),
    }
    log = list(simulate(engine, app, chosen, sites=sites, actors=2))
    return Finished(folder / "run", log)


def plan_of_all_faults() -> dict[tuple[int, str], str]:
    """Every fault once, from round 2 on: a replay needs a round to replay."""
    plan = {}
    for place, fault in enumerate(REASONS):
        number, which = divmod(place, 2)
        plan[number + 2, PAIRS[number % 2][which]] = fault
    return plan


@pytest.fixture(scope="module")
def hostile(engine: SuperLink, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """All strategies, each with every fault."""
    folder, plan = tmp_path_factory.mktemp("hostile"), plan_of_all_faults()
    return play_all(engine, cache, folder, plan, ",".join(STRATEGIES))


@pytest.fixture(scope="module")
def failing(engine: SuperLink, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same, but the sites fail where the others answer badly."""
    plan = dict.fromkeys(plan_of_all_faults(), "fail")
    return play_all(engine, cache, tmp_path_factory.mktemp("failing"), plan, ",".join(STRATEGIES))


@pytest.fixture(scope="module")
def changes(engine: SuperLink, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two strategies whose sites upload int8 changes, of some layers and of all."""
    folder, plan = tmp_path_factory.mktemp("changes"), plan_of_all_faults()
    return play_all(engine, cache, folder, plan, "lpe,cwa", wire__upload_precision="int8")


def play_all(
    engine: SuperLink, cache: Path, folder: Path, plan: Plan, strategy: str, **settings: object
) -> Finished:
    """Run a round more than the plan has, with little work in each."""
    rounds = max(number for number, _ in plan) + 1
    few = {"rounds": rounds, "twin__steps": 5, "dtml__steps": 2, "train__epochs": 1}
    return play(engine, folder, cache, plan, SITES, strategy=strategy, **few, **settings)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_bad_reply_is_refused_with_its_reason_and_all_others_count(
    strategy: str, hostile: Finished
) -> None:
    check_refusals(hostile, strategy)


@pytest.mark.parametrize("strategy", ["lpe", "cwa"])
def test_each_bad_reply_of_int8_changes_is_refused_too(strategy: str, changes: Finished) -> None:
    check_refusals(changes, strategy)


def check_refusals(run: Finished, strategy: str) -> None:
    """Every fault of the plan, and nothing else, is refused with its reason."""
    plan, refusals = plan_of_all_faults(), run.refusals(strategy)

    assert set(refusals) == set(plan)
    for place, fault in plan.items():
        assert re.search(REASONS[fault], refusals[place]), (fault, refusals[place])
    bad = [sum(place[0] == line.round for place in plan) for line in run.of(strategy)]
    assert [(line.sites, line.refused) for line in run.of(strategy)] == [
        (SITES - n, n) for n in bad
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bad_replies_leave_no_trace_in_the_weights(
    strategy: str, hostile: Finished, failing: Finished
) -> None:
    weights, expected = hostile.weights(strategy), failing.weights(strategy)

    assert all(np.isfinite(value).all() for value in weights.values())
    assert all(np.array_equal(weights[key], expected[key]) for key in expected)


def test_nothing_that_a_site_sends_is_unpickled(hostile: Finished) -> None:
    assert not (hostile.folder.parent / "unpickled").exists()


def test_a_site_whose_process_dies_misses_that_round_alone(
    engine: SuperLink, cache: Path, tmp_path: Path
) -> None:
    """Exit, the kernel's kill when memory runs out, Python's own MemoryError, and two at once."""
    plan = {
        (2, "plant-02"): "exit",
        (4, "plant-01"): "killed",
        (5, "plant-03"): "memory",
        (6, "plant-01"): "exit",
        (6, "plant-03"): "exit",
    }
    settings = {"strategy": "fedavg", "twin.kind": "none", "rounds": 7, "round.quorum": 0.3}

    run = play(engine, tmp_path, cache, plan, 3, **settings)

    assert [line.sites for line in run.of("fedavg")] == [3, 2, 3, 2, 2, 1, 3]
    refusals = run.refusals("fedavg")
    assert set(refusals) == set(plan)
    assert "Unable to allocate 8.00 GiB" in refusals.pop((5, "plant-03"))
    assert all("the worker process that served this site died" in r for r in refusals.values())


def test_a_site_that_hangs_stalls_neither_the_others_nor_the_end_of_the_run(
    engine: SuperLink, cache: Path, tmp_path: Path
) -> None:
    """It would hang for ten minutes; a round waits for it once."""
    plan = {(2, "plant-02"): "hang"}
    settings = {"strategy": "fedavg", "twin.kind": "none", "rounds": 5, "round__timeout": 45.0}

    run = play(engine, tmp_path, cache, plan, 3, **settings)

    assert [line.sites for line in run.of("fedavg")] == [3, 2, 2, 2, 2]
    waited = [line.round for line in run.of("fedavg") if line.seconds >= 45.0]
    assert waited == [2]
    assert run.refusals("fedavg") == {(2, "plant-02"): "no reply within the round's timeout"}
