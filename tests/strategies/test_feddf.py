"""FedDF: the sites' models together teach the aggregate on twin inputs."""

from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.rounds.state import State
from tests.support.line_model import bias, line, line_twin
from tests.support.workbench import reply, strategy_on


def update(strategy, replies) -> float:
    return bias(strategy.update(State(line(0)), replies).model)


def test_the_aggregate_learns_what_the_sites_models_say_together():
    """Of 0, 1 and 8 the median is 1, the mean 3: a step of 0.5 from 1 towards 3, not the twin."""
    feddf = strategy_on("feddf", line_twin(-10.0), trust__aggregation="median")

    after = update(feddf, [reply(f"s{b}", line(b)) for b in (0, 1, 8)])

    assert after == pytest.approx(1.5, abs=1e-6)


def test_many_steps_end_where_the_ensemble_is():
    feddf = strategy_on(
        "feddf", line_twin(-10.0, lr=0.1), trust__aggregation="median", feddf__steps=100
    )

    after = update(feddf, [reply(f"s{b}", line(b)) for b in (0, 1, 8)])

    assert after == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(("twin_steps", "steps"), [(5, 0), (0, -1)])
def test_without_steps_it_is_fedavg_to_the_last_bit(twin_steps, steps):
    replies = [reply("a", line(0.1)), reply("b", line(0.7)), reply("c", line(0.3))]
    feddf = strategy_on("feddf", line_twin(10.0, steps=twin_steps), feddf__steps=steps)
    fedavg = strategy_on("fedavg")

    first, second = (each.update(State(line(0)), replies).model for each in (feddf, fedavg))

    assert all(np.array_equal(first[key], second[key]) for key in second)


def test_the_twins_steps_are_the_default_and_are_counted():
    twin = line_twin(10.0, steps=3)

    update(strategy_on("feddf", twin), [reply("a", line(1))])
    update(strategy_on("feddf", twin, feddf__steps=4), [reply("a", line(1))])

    assert twin.steps_done == 3 + 4


def test_a_reply_that_is_trusted_less_teaches_less():
    """Weights 1 and 1/3: start and ensemble are both (1 * 0 + 1/3 * 4) / (4/3) = 1."""
    feddf = strategy_on("feddf", line_twin(-10.0))
    replies = [reply("a", line(0)), replace(reply("b", line(4)), weight=1 / 3)]

    assert update(feddf, replies) == pytest.approx(1.0, abs=1e-6)


def test_sites_teach_by_their_rows_when_asked_to():
    """(10 * 1 + 30 * 3) / 40 = 2.5, of the aggregate and of the ensemble."""
    feddf = strategy_on("feddf", line_twin(-10.0), round__weighting="examples")
    replies = [reply("a", line(1), examples=10), reply("b", line(3), examples=30)]

    assert update(feddf, replies) == pytest.approx(2.5, abs=1e-6)


def test_fewer_steps_than_none_are_refused():
    with pytest.raises(ConfigError, match=r"feddf\.steps = -2; expected at least -1"):
        strategy_on("feddf", line_twin(1.0), feddf__steps=-2)
