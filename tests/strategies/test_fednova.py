"""FedNova on two parabolas, as in test_scaffold.py, every number by hand."""

from dataclasses import replace

import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.rounds.state import State
from dtfl_app.strategies.fednova import path_length
from tests.support.convex_site import ConvexSites
from tests.support.federation import Federation
from tests.support.line_model import bias, line
from tests.support.workbench import reply, strategy_on

SGD = {"train__optimizer": "sgd", "train__lr": 0.1}


def said(site: str, b: float, steps: int, base: float = 1.0, examples: int = 10):
    return replace(reply(site, line(b), examples), base=line(base), steps=steps)


def test_changes_count_per_step():
    """From 1: by 2 in 2 steps, by -4 in 8. Per step 1 and -0.5, mean 0.25, times 5 steps: 2.25."""
    fednova = strategy_on("fednova", **SGD)

    state = fednova.update(State(line(1.0)), [said("a", 3.0, 2), said("b", -3.0, 8)])

    assert bias(state.model) == pytest.approx(2.25)


def test_weights_by_examples_count_in_steps_and_changes():
    """Weights 3/4, 1/4: 0.75 * 1 - 0.25 * 0.5 = 0.625 per step, times 0.75 * 2 + 0.25 * 8 = 3.5."""
    fednova = strategy_on("fednova", round__weighting="examples", **SGD)
    told = [said("a", 3.0, 2, examples=30), said("b", -3.0, 8, examples=10)]

    assert bias(fednova.update(State(line(1.0)), told).model) == pytest.approx(1 + 0.625 * 3.5)


def test_a_late_reply_s_change_is_from_the_model_that_it_started_from():
    """Both went by 2 in 2 steps, one of them from 5: the model goes from 1 to 3."""
    fednova = strategy_on("fednova", **SGD)

    state = fednova.update(State(line(1.0)), [said("a", 3.0, 2), said("b", 7.0, 2, base=5.0)])

    assert bias(state.model) == pytest.approx(3.0)


def test_a_reply_that_claims_no_step_counts_as_one():
    fednova = strategy_on("fednova", **SGD)

    assert bias(fednova.update(State(line(1.0)), [said("a", 3.0, 0)]).model) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("steps", "momentum", "length"), [(7, 0.0, 7.0), (1, 0.5, 1.0), (2, 0.5, 2.5), (3, 0.5, 4.25)]
)
def test_momentum_counts_a_gradient_in_later_steps_too(steps, momentum, length):
    """With 0.5: of three gradients the first counts 1.75, the second 1.5, the last 1."""
    assert path_length(steps, momentum) == pytest.approx(length)


def test_with_unequal_steps_it_ends_nearer_to_the_optimum_than_fedavg():
    """The sum is least at 2. With 2 and 20 steps of 0.01 FedAvg leans to the site with more."""
    ends = {}
    for name in ("fednova", "fedavg"):
        made = Federation(
            name, handler=ConvexSites(steps=(2, 20), lr=0.01), sites=2, trust__norm_limit=0.0, **SGD
        )
        made.run(rounds=150)
        ends[name] = abs(bias(made.strategy.state.model) - 2.0)

    assert ends["fednova"] < 0.3 * ends["fedavg"]


def test_it_needs_sgd_with_or_without_momentum():
    strategy_on("fednova", train__optimizer="sgd", train__momentum=0.9)

    with pytest.raises(ConfigError, match=r"'fednova' needs train.optimizer=sgd: it divides"):
        strategy_on("fednova")
