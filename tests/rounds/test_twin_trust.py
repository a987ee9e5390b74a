"""How much a twin counts, and what that makes of each method."""

import math

import numpy as np
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import read_settings
from dtfl_app.messages.training import TeacherTerm, TrainingTask
from dtfl_app.rounds.twin_trust import FAR, moment_distance, trust_in
from tests.support.federation import Federation
from tests.support.line_model import LAST, bias, line_twin

DRIVEN = ["dtml", "fpf", "lpe", "cwa", "dtkd", "feddf"]
#: All layers of `lpe` come from the twin, so that its step is one that the model shows.
SERVER = {
    "dtkd__side": "server",
    "twin__warm_steps": 1,
    "dtml__steps": 1,
    "lpe__low": 4,
    "lpe__high": 4,
}


def played(strategy: str, weight: str, rounds: int = 1, **settings) -> Federation:
    told = {**SERVER, "twin__weight": weight, **settings}
    federation = Federation(strategy, line_twin(10.0), **told)
    federation.run(rounds=rounds)
    return federation


def ends(strategy: str, weight: str, rounds: int = 1) -> float:
    return bias(played(strategy, weight, rounds).strategy.state.model)


@pytest.mark.parametrize("strategy", DRIVEN)
def test_a_method_whose_twin_counts_for_nothing_is_fedavg_and_says_so(strategy):
    """Sites' models say 1, 2 and 3 more than they were sent."""
    federation = played(strategy, "0", rounds=3)

    assert bias(federation.strategy.state.model) == ends("fedavg", "1", rounds=3) == 6.0
    assert [event.reason for event in federation.events] == [
        "twin.weight is 0; the run goes on as fedavg"
    ]


@pytest.mark.parametrize("strategy", DRIVEN)
def test_half_a_twin_goes_half_the_way_from_the_plain_mean(strategy):
    whole, half, none = (ends(strategy, weight) for weight in ("1", "0.5", "0"))

    assert half == pytest.approx((whole + none) / 2, abs=1e-6)
    assert (
        whole != none or strategy == "feddf"
    )  # the line's three say together what their mean does


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedadam"])
def test_methods_without_a_twin_stay_as_they_are(strategy):
    assert ends(strategy, "0.5", rounds=2) == ends(strategy, "1", rounds=2)


def test_half_a_twin_s_layers_are_uploaded_too():
    tasks = {
        weight: TrainingTask.unpack(played("lpe", weight, lpe__low=-1).grid.tasks()[0])
        for weight in ("1", "0.5")
    }

    assert [key for key in tasks["1"].upload if "layers.0" in key] == []
    assert [key for key in tasks["0.5"].upload if "layers.0" in key] != []
    assert LAST in tasks["1"].upload


def test_half_a_twin_s_teacher_has_half_its_weight_at_the_sites():
    def weight(share: str) -> float:
        sent = played("dtkd", share, dtkd__side="client", dtkd__lambda=0.4)
        return read_settings(TeacherTerm, TrainingTask.unpack(sent.grid.tasks()[0]).settings).weight

    assert [weight("1"), weight("0.5"), weight("0")] == [0.4, 0.2, 0.0]


def test_the_distance_of_two_normal_distributions_by_hand():
    """Its square, of equal ones: 0. Means two apart: 1 - exp(-4 / 8). Spreads 3, 1: 1 - sqrt(0.6).

    A constant one unit away from a constant: variances of 0.01 each, 1 - exp(-1 / 0.08).
    """
    found = moment_distance(*np.array([[0, 2, 0, 1], [1, 1, 9, 0], [0, 0, 0, 0], [1, 1, 1, 0.0]]))

    wanted = [0, 1 - math.exp(-0.5), 1 - math.sqrt(0.6), 1 - math.exp(-12.5)]
    assert found**2 == pytest.approx(wanted)


def test_trust_falls_with_the_distance_beyond_a_typical_site_s_and_names_the_channels():
    """Beyond the usual 0.1: 0.2, 0 and 0.1 in the mean of two, and of one unknown."""
    twin, usual = np.array([0.3, 0.05, np.nan]), np.full(3, 0.1)

    trust = trust_in(twin, usual, ["level", "flow", "valve"])

    assert trust.distance == pytest.approx(0.2 / 3)
    assert trust.weight == pytest.approx(1 - 0.2 / 3 / FAR)
    assert list(trust.worst) == ["level"]
    assert "farthest level 0.20" in trust.describe()


def test_a_twin_as_near_as_a_site_counts_in_full_and_a_far_one_for_nothing():
    usual = np.full(2, 0.1)

    assert trust_in(usual, usual, ["a", "b"]).weight == 1.0
    assert trust_in(np.ones(2), usual, ["a", "b"]).weight == 0.0


@pytest.mark.parametrize("weight", ["1.5", "-0.1", "much", "nan", ""])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ConfigError, match=r"twin\.weight = .*; expected a number from 0 to 1"):
        RunConfig.from_mapping({"twin.weight": weight})
