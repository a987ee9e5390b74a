"""What the twin, as a witness, makes of replies; numbers follow from the line model."""

import math

import numpy as np
import pytest

from dtfl_app.detector.params import Params
from dtfl_app.rounds.witness import suspects, weigh, witness_losses
from tests.support.line_model import LAST, line, line_twin
from tests.support.workbench import reply


def test_the_witness_sees_the_loss_of_each_replys_model_on_twin_data():
    """Twin data is 10: models that say 7, 10 and 14 are off by 9, 0 and 16, squared."""
    replies = [reply("a", line(7)), reply("b", line(10)), reply("c", line(14))]

    assert witness_losses(replies, line(0), line_twin(10.0)) == {"a": 9.0, "b": 0.0, "c": 16.0}


def test_layers_that_a_reply_lacks_are_those_of_the_model():
    """Without its last layer a reply says what the model says, 4: (10 - 4)^2."""
    partial: Params = {key: value for key, value in line(7).items() if key != LAST}

    losses = witness_losses([reply("a", partial)], line(4), line_twin(10.0))

    assert losses == {"a": 36.0}


def test_a_loss_beyond_all_numbers_is_infinite_and_not_unknown():
    """Squares of 1e30 overflow float32; a NaN would compare as neither better nor worse."""
    for value in (1e30, math.nan):
        losses = witness_losses([reply("a", line(value))], line(0), line_twin(10.0))

        assert losses == {"a": math.inf}


def test_asking_the_witness_costs_no_steps_and_moves_no_batches():
    """The mini-batches of the twin's next steps are those of a twin that was not asked."""
    asked, silent = line_twin(10.0), line_twin(10.0)
    for twin in (asked, silent):
        twin.begin_round(1)

    witness_losses([reply("a", line(3))], line(0), asked)

    assert asked.steps_done == 0
    trained = [twin.train(line(0)) for twin in (asked, silent)]
    assert all(np.array_equal(trained[0][key], trained[1][key]) for key in trained[0])


def test_weights_fall_from_one_at_the_bound_to_none_at_twice_the_bound():
    """The median, the fourth of seven, is 1, the bound 3 x 1.

    3 is at the bound, 4.5 is 1.5 times it and keeps half, 6 is twice the bound and keeps nothing.
    """
    losses = {"a": 0.5, "b": 1.0, "c": 1.0, "d": 1.0, "e": 3.0, "f": 4.5, "g": 6.0}

    weights = weigh(losses, limit=3.0)

    expected = {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 0.5, "g": 0}
    assert weights == pytest.approx(expected)


def test_who_is_above_the_bound_is_suspect_with_the_figures():
    """Median 1, bound 4: 4 is not above it, 4.5 is."""
    losses = {"a": 0.9, "b": 1.0, "c": 1.0, "d": 4.0, "e": 4.5}

    assert suspects(losses, limit=4.0) == {
        "e": "its model's loss on twin data is 4.5, the limit is 4; the median of 5 replies is 1"
    }


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_only_ratios_count(factor):
    """Losses fall by orders of magnitude as a run goes on."""
    losses = {site: factor * loss for site, loss in zip("abcd", (1.0, 1.1, 0.9, 9.0), strict=True)}

    assert suspects(losses, limit=3.0).keys() == {"d"}


@pytest.mark.parametrize("attackers", [1, 2, 3, 4])
def test_a_minority_of_attackers_is_found_and_no_honest_site_with_them(attackers):
    """Of 10, up to 4 send models a thousand times as bad; the median stays among the honest.

    Honest losses are 1.0 to 1.9: the median of ten is at most 1.9, all honest are below 3 x 1.0.
    """
    losses = {f"honest-{i}": 1.0 + i / 10 for i in range(10 - attackers)}
    losses |= {f"attacker-{i}": 1e3 * (i + 1) for i in range(attackers)}

    assert suspects(losses, limit=3.0).keys() == {f"attacker-{i}" for i in range(attackers)}


@pytest.mark.parametrize("losses", [{}, {"a": 5.0}, {"a": 1.0, "b": 1e6}, {"a": math.inf}])
def test_one_or_two_replies_have_nobody_to_be_compared_with(losses):
    assert suspects(losses, limit=3.0) == {}
    assert weigh(losses, limit=3.0) == dict.fromkeys(losses, 1.0)


def test_of_three_replies_one_can_be_found():
    losses = {"a": 1.0, "b": 1.2, "c": 50.0}

    assert suspects(losses, limit=3.0).keys() == {"c"}
    assert weigh(losses, limit=3.0) == {"a": 1.0, "b": 1.0, "c": 0.0}


def test_an_infinite_loss_weighs_nothing():
    losses = {"a": 1.0, "b": 1.0, "c": math.inf}

    assert weigh(losses, limit=3.0)["c"] == 0.0
    assert suspects(losses, limit=3.0).keys() == {"c"}


def test_a_witness_to_whom_most_are_infinitely_bad_is_not_believed():
    """Then it is the witness that is broken; the bound is infinite, and nothing is above it."""
    losses = {"a": 1.0, "b": math.inf, "c": math.inf}

    assert suspects(losses, limit=3.0) == {}
    assert weigh(losses, limit=3.0) == dict.fromkeys(losses, 1.0)


def test_a_model_that_is_better_than_the_floor_is_never_suspect():
    """0.5 is ten times the median, and still better than 0.69; 1.035 is 1.5 times the floor."""
    losses = {"a": 0.04, "b": 0.05, "c": 0.05, "d": 0.5, "e": 1.035}

    assert suspects(losses, limit=3.0, floor=0.69).keys() == {"e"}
    expected = {"a": 1, "b": 1, "c": 1, "d": 1, "e": 0.5}
    assert weigh(losses, limit=3.0, floor=0.69) == pytest.approx(expected)


def test_where_most_fit_perfectly_any_loss_is_too_much():
    """Median 0, so the bound is 0: 0 is within it and 0.1 is infinitely far beyond."""
    losses = {"a": 0.0, "b": 0.0, "c": 0.1}

    assert weigh(losses, limit=3.0) == {"a": 1.0, "b": 1.0, "c": 0.0}
