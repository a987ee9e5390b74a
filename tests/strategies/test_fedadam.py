import math

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from dtfl_app.core.errors import ConfigError
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.rounds.state import State
from dtfl_app.testing.grid import InProcessGrid, identify
from tests.support.line_model import bias, line
from tests.support.settings import keyed
from tests.support.workbench import reply, strategy_on

REPLIES = [reply("a", line(1)), reply("b", line(3))]


@pytest.fixture(autouse=True)
def within_an_app():
    identify()


def test_two_steps_by_hand():
    """Memories 1/2, eta = 1, tau = 1; the sites' mean is 2 in both rounds.

    Round 1 from 0: d = 2, m = 1, v = 2, eta_1 = sqrt(1 - 1/4) / (1 - 1/4) = 1.15470;
    b = 1.15470 * 1 / (1.41421 + 1) = 0.47829.
    Round 2: d = 1.52171, m = 0.5 + 0.76085 = 1.26085, v = 1 + 1.15780 = 2.15780,
    eta_2 = sqrt(7/8) / (7/8) = 1.06904; b = 0.47829 + 1.06904 * 1.26085 / 2.46894 = 1.02423.
    """
    fedadam = strategy_on(
        "fedadam", fedadam__eta=1.0, fedadam__beta_1=0.5, fedadam__beta_2=0.5, fedadam__tau=1.0
    )

    first = fedadam.update(begun(fedadam), REPLIES)
    second = fedadam.update(first, REPLIES)

    assert bias(first.model) == pytest.approx(0.47829, abs=1e-5)
    assert bias(second.model) == pytest.approx(1.02423, abs=1e-5)


def test_three_rounds_give_the_numbers_of_flowers_own_strategy():
    """Flower runs its whole round, from the sites' messages, in the weights' precision."""
    fedadam, theirs = strategy_on("fedadam"), flower.FedAdam(eta=0.01)
    ours = fedadam.prepare(State(start := random_params(0)))
    model = start

    for number in (1, 2, 3):
        answers = [random_params(10 * number + site) for site in range(3)]
        ours = fedadam.update(ours, [reply(f"s{i}", a) for i, a in enumerate(answers)])
        model = flower_round(theirs, number, model, answers)

    assert all(np.allclose(ours.model[key], model[key], rtol=1e-6, atol=1e-7) for key in start)


def test_weights_stay_float32():
    """Flower alone returns float64, which no site may send back."""
    fedadam = strategy_on("fedadam")
    state = fedadam.update(begun(fedadam), REPLIES)

    assert {array.dtype for array in state.model.values()} == {np.dtype(np.float32)}
    assert list(state.model) == list(line(0))


def test_the_model_of_the_last_round_is_left_as_it_was():
    start, fedadam = line(0), strategy_on("fedadam")

    fedadam.update(fedadam.prepare(State(start)), REPLIES)

    assert bias(start) == 0.0


def test_sites_weigh_by_their_rows_when_asked_to():
    """Without memory and with a huge tau = eta the step is d itself: (10 * 1 + 30 * 3) / 40."""
    plain = {
        "fedadam__eta": 1e9,
        "fedadam__tau": 1e9,
        "fedadam__beta_1": 0.0,
        "fedadam__beta_2": 0.0,
    }
    fedadam = strategy_on("fedadam", round__weighting="examples", **plain)
    replies = [reply("a", line(1), examples=10), reply("b", line(3), examples=30)]

    assert bias(fedadam.update(begun(fedadam), replies).model) == pytest.approx(2.5)


def test_the_moments_are_all_in_the_state():
    """Another object goes on from it: nothing is left behind in the one that made it."""
    one, other = strategy_on("fedadam"), strategy_on("fedadam")
    state = one.update(begun(one), REPLIES)

    assert bias(other.update(state, REPLIES).model) == bias(one.update(state, REPLIES).model)
    assert bias(state.model) != bias(one.update(state, REPLIES).model)


def test_the_first_step_of_the_defaults_by_hand():
    """m = 0.2, v = 0.04, eta_1 = 0.01 sqrt(1 - 0.99^2) / (1 - 0.9^2)."""
    eta = 0.01 * math.sqrt(1 - 0.99**2) / (1 - 0.9**2)

    fedadam = strategy_on("fedadam")
    state = fedadam.update(begun(fedadam), REPLIES)

    assert bias(state.model) == pytest.approx(eta * 0.2 / (0.2 + 0.001), rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fedadam__eta": 0.0},
        {"fedadam__tau": 0.0},
        {"fedadam__beta_1": 1.0},
        {"fedadam__beta_2": -0.1},
    ],
)
def test_settings_that_divide_by_zero_or_do_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(keyed(**wrong)))} = "):
        strategy_on("fedadam", **wrong)


def test_no_twin_is_needed():
    assert strategy_on("fedadam", twin=None).needs_twin is False


def begun(fedadam) -> State:
    """The state that a run begins with."""
    return fedadam.prepare(State(line(0)))


def random_params(seed: int):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=v.shape).astype(np.float32) for k, v in line(0).items()}


def flower_round(strategy: flower.FedAdam, number: int, model, answers):
    """What Flower makes of the sites' `answers` to `model`."""
    grid = InProcessGrid(len(answers))
    tasks = strategy.configure_train(number, to_record(model), ConfigRecord(), grid)
    replies = [
        Message(
            RecordDict({"arrays": to_record(a), "metrics": MetricRecord({"num-examples": 10})}),
            reply_to=task,
        )
        for task, a in zip(tasks, answers, strict=True)
    ]
    record, _ = strategy.aggregate_train(number, replies)
    return {key: array.astype(np.float32) for key, array in to_arrays(record).items()}
