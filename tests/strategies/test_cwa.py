"""CWA on the line model: one twin step moves its bias by 0.5 towards the twin's readings of 10."""

import numpy as np
import pytest

from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.rounds.state import State
from tests.support.line_model import LINE, bias, line, line_twin
from tests.support.workbench import reply, strategy_on

ROUNDS = (
    [reply("a", line(1)), reply("b", line(3))],  # mean 2
    [reply("a", line(6)), reply("b", line(8))],  # mean 7
)


def play(schedule: str, steps: int = 1, start: float = -4.0) -> list[State]:
    cwa = strategy_on("cwa", line_twin(10.0, steps=steps), cwa__schedule=schedule)
    states = [cwa.prepare(State(line(start)))]
    for replies in ROUNDS:
        states.append(cwa.update(states[-1], replies))
    return states[1:]


def test_sequential_trains_the_aggregate_of_the_same_round():
    """2 + 0.5 = 2.5 after round 1, 7 + 0.5 = 7.5 after round 2."""
    first, second = play("sequential")

    assert [bias(first.model), bias(second.model)] == pytest.approx([2.5, 7.5], abs=1e-6)


def test_parallel_crosses_over_with_one_rounds_lag():
    """Round 1: sites get the twin trained from the initial -4: -3.5; the twin takes the mean 2.

    Round 2: sites get the twin trained from that 2: 2.5; the twin takes the mean 7.
    """
    first, second = play("parallel")

    assert [bias(first.model), bias(second.model)] == pytest.approx([-3.5, 2.5], abs=1e-6)
    assert [bias(first.twin), bias(second.twin)] == [2.0, 7.0]


@pytest.mark.parametrize("schedule", ["sequential", "parallel"])
def test_the_twin_restarts_from_the_aggregate(schedule):
    assert [bias(state.twin) for state in play(schedule)] == [2.0, 7.0]


def test_sequential_without_twin_steps_is_fedavg():
    models = [get_params(build_model(LINE, seed)) for seed in (1, 2, 3)]
    replies = [reply(f"site-{i}", params) for i, params in enumerate(models)]
    cwa = strategy_on("cwa", line_twin(10.0, steps=0), cwa__schedule="sequential")

    swapped = cwa.update(cwa.prepare(State(line(0))), replies)
    averaged = strategy_on("fedavg").update(State(line(0)), replies)

    for key, value in averaged.model.items():
        np.testing.assert_array_equal(swapped.model[key], value)


def test_several_steps_of_one_round_share_adams_moments():
    """Constant slope would give 3 * 0.5; the slope shrinks from 16 to 14, so a little less."""
    first, _ = play("sequential", steps=3)

    assert 3.3 < bias(first.model) < 3.5
