import numpy as np
import pytest

from dtfl_app.rounds.state import State
from dtfl_app.strategies.dtml import meta_update
from tests.support.federation import Federation
from tests.support.line_model import bias, line, line_twin
from tests.support.workbench import reply, strategy_on

REPLIES = [reply("a", line(1)), reply("b", line(3))]


def test_the_meta_update_by_hand():
    """L = (theta - 10)^2, slope 2 (theta - 10), b = 0.25, from 2: 2 + 4 = 6, then 6 + 2 = 8."""
    target = np.float32(10)

    def slope(params):
        return {"theta": 2 * (params["theta"] - target)}

    start = {"theta": np.array([2], dtype=np.float32)}

    assert meta_update(start, slope, 0.25, 1)["theta"].tolist() == [6]
    assert meta_update(start, slope, 0.25, 2)["theta"].tolist() == [8]
    assert start["theta"].tolist() == [2]


@pytest.mark.parametrize(("lr", "steps"), [(0.0, 5), (0.25, 0)])
def test_without_size_or_steps_the_aggregate_stays(lr, steps):
    start = {"theta": np.array([2], dtype=np.float32)}

    after = meta_update(start, lambda params: {"theta": params["theta"]}, lr, steps)

    assert after["theta"].tolist() == [2]


def test_the_aggregate_is_corrected_by_the_gradient_of_the_twins_loss():
    """Mean of 1 and 3 is 2; the twin reads 10, so its loss (b - 10)^2 has slope -16.

    b = 2 + 0.125 * 16 = 4, then 4 + 0.125 * 12 = 5.5.
    """
    dtml = strategy_on("dtml", line_twin(10.0), dtml__lr=0.125, dtml__steps=2)

    state = dtml.update(State(line(0)), REPLIES)

    assert bias(state.model) == pytest.approx(5.5)


def test_it_is_a_plain_gradient_step_and_not_adam():
    """Twice the slope makes twice the step: from 2 to 10 slope -16, to 18 slope -32."""
    moves = []
    for target in (10.0, 18.0):
        dtml = strategy_on("dtml", line_twin(target), dtml__lr=0.1, dtml__steps=1)
        moves.append(bias(dtml.update(State(line(0)), REPLIES).model) - 2.0)

    assert moves == pytest.approx([1.6, 3.2])


def test_each_meta_step_counts_as_a_step_at_the_server():
    twin = line_twin(10.0)

    strategy_on("dtml", twin, dtml__lr=0.1, dtml__steps=7).update(State(line(0)), REPLIES)

    assert twin.steps_done == 7


@pytest.mark.parametrize("off", [{"dtml__lr": 0.0}, {"dtml__steps": 0}])
def test_without_size_or_steps_it_is_fedavg(off):
    dtml = strategy_on("dtml", line_twin(10.0), **off)

    assert bias(dtml.update(State(line(0)), REPLIES).model) == 2.0


def test_the_batch_is_drawn_from_the_twin_and_capped_at_its_rows():
    """The twin has 8 rows; a batch of 1000 is all of them, so the slope is exact."""
    dtml = strategy_on("dtml", line_twin(10.0), dtml__lr=0.125, dtml__steps=1, dtml__batch=1000)

    assert bias(dtml.update(State(line(0)), REPLIES).model) == pytest.approx(4.0)


def test_a_round_whose_meta_steps_diverge_keeps_the_aggregate_and_says_so():
    """With b = 10 every step multiplies the distance to the twin by -19: 8 * 19^40 > 1e50.

    Sites add 1, 2 and 3, so the aggregate of round 1 says 2.
    """
    federation = Federation("dtml", line_twin(10.0), dtml__lr=10.0, dtml__steps=40)

    with np.errstate(over="ignore", invalid="ignore"):
        federation.run(rounds=1)

    assert bias(federation.strategy.state.model) == 2.0
    assert [(event.kind, event.round) for event in federation.events] == [("twin-diverged", 1)]
