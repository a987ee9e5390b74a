"""When a twin is given up."""

import json
import math

import numpy as np
import pytest

from dtfl_app.detector.models import find_detector
from dtfl_app.rounds.twin_guard import TwinGuard, watched_rounds
from tests.support.federation import Federation
from tests.support.line_model import bias, line_twin


def guard(limit: float = 3.0, strikes: int = 3, rounds: int = 3) -> TwinGuard:
    return TwinGuard(limit, strikes, rounds)


def test_a_twin_far_from_the_sites_is_given_up_with_the_figures():
    """Medians 0.5 and 6: twelve times, as of a twin whose demand is 30% too high."""
    watched = guard()

    reason = watched.check_losses([0.4, 0.5, 0.6], [6.0, 5.0, 7.0])

    assert reason == (
        "the twin is unlike the sites: the median loss of their models is 6 on twin data and 0.5 "
        "on their own, 12.0 times less; the limit is 3; the run goes on as fedavg"
    )
    assert not watched.trusted


def test_a_twin_at_the_limit_is_kept():
    watched = guard()

    assert watched.check_losses([0.5], [1.5]) is None
    assert watched.trusted


def test_a_minority_that_claims_or_sends_nonsense_cannot_take_the_twin_away():
    """Two of five claim no loss at all, and their models are infinitely bad on twin data."""
    watched = guard()

    assert watched.check_losses([0.5, 0.5, 0.5, -1e9, -1e9], [0.6, 0.6, 0.6, math.inf, 1e9]) is None
    assert watched.trusted


def test_sites_without_a_loss_above_none_decide_nothing():
    assert guard().check_losses([0.0, 0.0], [1.0, 1.0]) is None


def test_losses_are_watched_in_the_first_rounds_only():
    watched = guard(rounds=2)

    assert [watched.watches(n) for n in (1, 2, 3)] == [True, True, False]


def test_without_a_limit_no_round_is_watched():
    assert not guard(limit=0.0).watches(1)


def test_a_twin_that_was_given_up_is_not_watched_any_more():
    watched = guard()
    watched.check_losses([1.0], [10.0])

    assert not watched.watches(2)


@pytest.mark.parametrize(
    ("kind", "noisy", "rounds"),
    [("autoencoder", False, 3), ("classifier", False, 1), ("autoencoder", True, 0)],
)
def test_how_many_rounds_tell_depends_on_what_is_learnt(kind, noisy, rounds):
    assert watched_rounds(find_detector(kind), noisy) == rounds


def test_a_twin_is_given_up_after_so_many_diverged_rounds_in_a_row():
    watched = guard(strikes=3)

    assert [watched.diverged() for _ in range(2)] == [None, None]
    assert watched.trusted
    assert watched.diverged() == (
        "the twin's step gave unusable values 3 rounds in a row; the run goes on as fedavg"
    )
    assert not watched.trusted


def test_a_healthy_round_clears_the_strikes():
    watched = guard(strikes=2)

    for _ in range(3):
        watched.diverged()
        watched.healthy()

    assert watched.trusted


def test_the_first_strike_may_be_the_last():
    watched = guard(strikes=1)

    assert watched.diverged() is not None
    assert not watched.trusted


def test_a_healthy_round_does_not_bring_a_twin_back():
    watched = guard(strikes=1)
    watched.diverged()

    watched.healthy()

    assert not watched.trusted


def test_a_guard_goes_on_where_its_state_ends():
    """Two strikes of three before the checkpoint, the third after it."""
    first, second = guard(strikes=3), guard(strikes=3)
    first.diverged()
    first.diverged()

    second.restore(json.loads(json.dumps(first.state())))

    assert second.trusted
    assert second.diverged() is not None


def test_a_twin_that_was_given_up_stays_so_after_a_resume():
    first, second = guard(strikes=1), guard(strikes=1)
    first.diverged()

    second.restore(first.state())

    assert not second.trusted
    assert second.diverged() is None


@pytest.mark.parametrize("strategy", ["dtml", "fpf", "lpe", "cwa", "dtkd"])
def test_with_a_wrong_twin_every_method_goes_on_as_fedavg_and_says_so(strategy):
    """Sites claim losses of 0, 1 and 2, median 1; their models say 1, 2 and 3.

    Twin data is 10, so the median loss on it is (10 - 2)^2 = 64, and the limit is 3 x 1. From
    round 1 on the sites' mean is the model: 2, 4 and 6.
    """
    federation = Federation(strategy, line_twin(10.0), trust__twin_limit=3.0, dtkd__side="server")

    federation.run(rounds=3)

    assert bias(federation.strategy.state.model) == pytest.approx(6.0)
    assert [(event.kind, event.round) for event in federation.events] == [("twin-off", 1)]
    assert "64 on twin data and 1 on their own" in federation.events[0].reason


def test_a_twin_that_the_sites_fit_goes_on_teaching():
    """Twin data is 3: the median loss on it is (3 - 2)^2, that of the sites' claims 1."""
    federation = Federation("cwa", line_twin(3.0), trust__twin_limit=3.0)

    federation.run(rounds=1)

    assert federation.events == []
    assert bias(federation.strategy.state.model) == pytest.approx(2.5)


def test_a_twin_that_diverges_again_and_again_is_given_up():
    """Every DTML step of size 10 multiplies the distance to the twin by -19, beyond all bounds.

    The aggregate is kept in each round: 2, 4, 6 and 8.
    """
    federation = Federation(
        "dtml", line_twin(10.0), dtml__lr=10.0, dtml__steps=40, trust__twin_strikes=2
    )

    with np.errstate(over="ignore", invalid="ignore"):
        federation.run(rounds=4)

    told = [(event.kind, event.round) for event in federation.events]
    assert told == [("twin-diverged", 1), ("twin-diverged", 2), ("twin-off", 2)]
    assert bias(federation.strategy.state.model) == 8.0
