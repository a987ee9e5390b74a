"""A run goes on from a snapshot as if it had not been interrupted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.rounds.state import Snapshot, State
from tests.support.federation import Federation
from tests.support.line_model import line_twin

STRATEGIES = [
    ("fedavg", {}),
    ("fedprox", {}),
    ("fedadam", {"fedadam__eta": 0.5}),
    ("dtml", {"dtml__steps": 2}),
    ("fpf", {}),
    ("lpe", {}),
    ("lpe", {"lpe__policy": "adaptive"}),
    ("cwa", {}),
    ("cwa", {"cwa__schedule": "parallel"}),
    ("dtkd", {"dtkd__side": "server"}),
    ("dtkd", {"dtkd__precision": "int8"}),
    ("feddf", {}),
]
INT8 = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}


def federation(name="fedavg", **settings):
    """Five sites, three of them a round, a checkpoint after every second."""
    common = {"sites": 5, "round__fraction": 0.6, "seed": 1, "checkpoint_every": 2, **settings}
    return Federation(name, line_twin(10.0, steps=2), accuracy=lambda b: b / 100, **common)


def through_json(snapshot):
    """What a file keeps of it: arrays as they are, notes as JSON."""
    return Snapshot.read(snapshot.arrays(), json.loads(json.dumps(snapshot.notes())))


def comparable(lines):
    """All figures of the lines; wall time apart, NaN as text so that it equals itself."""
    return [repr(replace(line, seconds=0.0)) for line in lines]


def assert_equal(state: State, other: State):
    for part, same in zip(
        (state.model, state.twin or {}, state.memory),
        (other.model, other.twin or {}, other.memory),
        strict=True,
    ):
        assert list(part) == list(same)
        assert all(np.array_equal(part[k], same[k], equal_nan=True) for k in part)


@pytest.mark.parametrize("wire", [{}, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize(("name", "settings"), STRATEGIES)
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_resumed_run_ends_like_the_one_that_was_not_interrupted(name, settings, wire, at):
    """The second federation's sites hold nothing: in it all processes are new."""
    whole = federation(name, **settings, **wire)
    whole.run(rounds=7)
    (snapshot,) = [s for s in whole.snapshots if s.round == at]

    resumed = federation(name, ids_seed=9, **settings, **wire)
    resumed.run(rounds=7, snapshot=through_json(snapshot))

    assert_equal(resumed.strategy.state, whole.strategy.state)
    assert comparable(resumed.lines) == comparable(whole.lines[at:])
    assert resumed.threshold == whole.threshold


def test_snapshots_are_taken_as_often_as_asked_for():
    run = federation(checkpoint_every=3)
    run.run(rounds=7)

    assert [s.round for s in run.snapshots] == [0, 3, 6]


def test_without_checkpoints_there_are_none():
    run = federation(checkpoint_every=0)
    run.run(rounds=4)

    assert run.snapshots == []


def test_a_resumed_run_sends_everything_once_more_but_does_not_count_it():
    """The scaler travelled in round 1; after the resume it travels again, and sites accept."""
    whole = federation(round__fraction=1.0)
    whole.run(rounds=2)
    resumed = federation(round__fraction=1.0)

    resumed.run(rounds=3, snapshot=through_json(whole.snapshots[-1]))

    (first, *_) = resumed.grid.tasks()
    assert any(name.startswith("scaler/") for name in first.content.array_records["arrays"])
    assert resumed.lines[-1].bytes_down == whole.lines[-1].bytes_down
    assert [line.refused for line in resumed.lines] == [0, 0]
    (event,) = [e for e in resumed.events if e.kind == "sent-again"]
    assert event.figures["bytes"] == 5 * 4 * 8


def test_optimiser_steps_of_the_server_go_on_counting():
    whole = federation("cwa")
    whole.run(rounds=3)
    resumed = federation("cwa")

    resumed.run(rounds=3, snapshot=through_json(whole.snapshots[1]))

    assert resumed.bench.twin.steps_done == whole.bench.twin.steps_done
