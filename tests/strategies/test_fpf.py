import math

import numpy as np
import pytest

from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.rounds.state import State
from dtfl_app.strategies.fpf import similarity_weights
from tests.support.line_model import LINE, bias, line, line_twin
from tests.support.workbench import reply, strategy_on


def vector(*values: float):
    return {"w": np.array(values, dtype=np.float32)}


TWIN = vector(1, 0)
ALIKE, ACROSS, AGAINST = vector(5, 0), vector(0, 2), vector(-1, 0)


def test_weights_are_a_softmax_of_cosines_by_hand():
    """Cosines 1, 0, -1 at temperature 1: e, 1, 1/e over their sum e + 1 + 1/e = 4.0862."""
    weights = similarity_weights([ALIKE, ACROSS, AGAINST], TWIN, temperature=1.0)

    total = math.e + 1 + 1 / math.e
    assert weights == pytest.approx([math.e / total, 1 / total, 1 / math.e / total])
    assert weights.sum() == pytest.approx(1.0)


def test_a_temperature_divides_the_cosines():
    """Cosines 1 and 0 at T = 1 / ln 3: weights 3/4 and 1/4."""
    weights = similarity_weights([ALIKE, ACROSS], TWIN, temperature=1 / math.log(3))

    assert weights == pytest.approx([0.75, 0.25])


def test_a_high_temperature_weighs_all_alike():
    weights = similarity_weights([ALIKE, ACROSS, AGAINST], TWIN, temperature=1e12)

    assert weights == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=1e-11)


def test_a_low_temperature_takes_the_most_alike_alone():
    """exp(1 / 0.001) does not fit into a float; the weights are finite all the same."""
    weights = similarity_weights([ACROSS, ALIKE, AGAINST], TWIN, temperature=0.001)

    assert weights.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(("gamma", "expected"), [(0.0, 2.0), (0.2, 2.5), (1.0, 4.5)])
def test_gamma_goes_from_the_replies_to_the_twin(gamma, expected):
    """The twin's step leads from 4 to 4.5, the replies' mean is 2: 2 + 2.5 gamma."""
    fpf = strategy_on("fpf", line_twin(10.0), fpf__gamma=gamma)

    state = fpf.update(State(line(4)), [reply("a", line(1)), reply("b", line(3))])

    assert bias(state.model) == pytest.approx(expected, abs=1e-6)


def test_the_twin_is_trained_from_the_global_model_of_the_round():
    """The global model says 4, one twin step of 0.5 makes it 4.5; the replies say 1 and 3.

    All biases are positive and all else is 0, so all cosines are 1 and the replies weigh alike:
    0.5 * 4.5 + 0.5 * 2 = 3.25.
    """
    fpf = strategy_on("fpf", line_twin(10.0), fpf__gamma=0.5)

    state = fpf.update(State(line(4)), [reply("a", line(1)), reply("b", line(3))])

    assert bias(state.model) == pytest.approx(3.25, abs=1e-6)


def test_a_reply_that_points_away_from_the_twin_weighs_less():
    """Twin 4.5 with cosines 1 and -1 to replies 1 and -1: weights e and 1/e over their sum.

    0.5 * 4.5 + 0.5 * tanh(1) = 2.6308: (e - 1/e) / (e + 1/e) is tanh(1).
    """
    fpf = strategy_on("fpf", line_twin(10.0), fpf__gamma=0.5, fpf__temperature=1.0)

    state = fpf.update(State(line(4)), [reply("a", line(1)), reply("b", line(-1))])

    assert bias(state.model) == pytest.approx(2.25 + 0.5 * math.tanh(1), abs=1e-6)


def test_gamma_zero_at_a_high_temperature_is_fedavg():
    models = [get_params(build_model(LINE, seed)) for seed in (1, 2, 3)]
    replies = [reply(f"site-{i}", params) for i, params in enumerate(models)]
    off = {"fpf__gamma": 0.0, "fpf__temperature": 1e20}

    fused = strategy_on("fpf", line_twin(10.0), **off).update(State(line(0)), replies)
    averaged = strategy_on("fedavg").update(State(line(0)), replies)

    for key, value in averaged.model.items():
        np.testing.assert_array_equal(fused.model[key], value)
