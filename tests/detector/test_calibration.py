import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtfl_app.detector.calibration import (
    SKETCH_LEVELS,
    Sketch,
    conformal_threshold,
    pooled_threshold,
    sketch_scores,
)

NOTHING = np.zeros(0)
SCORES = st.lists(st.floats(0, 100), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.2, 8.0),  # ceil(10 * 0.8) = 8th smallest of 1 to 9
        (0.25, 8.0),  # ceil(7.5) = 8th
        (0.1, 9.0),  # ceil(9.0) = 9th
        (0.05, 9.0),  # ceil(9.5) = 10th of 9: the largest is all there is
    ],
)
def test_rank_by_hand(alpha, expected):
    scores = np.array([5.0, 3, 9, 1, 7, 2, 8, 4, 6])

    assert conformal_threshold(scores, alpha) == expected


def test_without_scores_there_is_no_threshold():
    assert math.isnan(conformal_threshold(NOTHING, 0.1))
    assert math.isnan(pooled_threshold([sketch_scores(NOTHING)], 0.1))
    assert math.isnan(pooled_threshold([], 0.1))


def test_the_promise_holds_for_exchangeable_scores():
    """n = 99, alpha = 0.1: the 90th of 99, exceeded with probability exactly 10/100.

    4,000 independent trials have a standard error of sqrt(0.1 * 0.9 / 4000) = 0.0047; four of
    them are allowed.
    """
    draws = np.random.default_rng(7).lognormal(size=(4000, 100))

    exceeded = [conformal_threshold(row[:99], 0.1) < row[99] for row in draws]

    assert np.mean(exceeded) == pytest.approx(0.1, abs=4 * 0.0047)


def test_a_sketch_has_the_documented_size_and_holds_real_scores():
    scores = np.random.default_rng(0).normal(size=777)

    sketch = sketch_scores(scores)

    assert sketch.count == 777
    assert sketch.values.shape == SKETCH_LEVELS.shape == (32,)
    assert np.isin(sketch.values, scores).all()
    assert (sketch.values[0], sketch.values[-1]) == (scores.min(), scores.max())
    assert (np.diff(sketch.values) >= 0).all()


def test_a_sketch_by_hand():
    """Level q of 1 to 10 is the score at place ceil(9 q), counted from 0: 0.1 -> 2, 0.5 -> 6.

    0.9 and all dense levels above it are at place 9: the largest.
    """
    sketch = sketch_scores(np.arange(10.0, 0.0, -1.0))

    assert sketch.values[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (sketch.values[10:] == 10).all()


def test_levels_run_from_the_smallest_to_the_largest_score():
    assert SKETCH_LEVELS[0] == 0.0
    assert SKETCH_LEVELS[-1] == 1.0
    assert (np.diff(SKETCH_LEVELS) > 0).all()


@settings(max_examples=150, deadline=None)
@given(sites=st.lists(SCORES, min_size=1, max_size=4), alpha=st.floats(0.001, 0.4))
def test_the_pooled_threshold_is_never_below_that_of_all_scores(sites, alpha):
    arrays = [np.array(site) for site in sites]

    pooled = pooled_threshold([sketch_scores(a) for a in arrays], alpha)

    assert pooled >= conformal_threshold(np.concatenate(arrays), alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.005, 0.002])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_pooled_threshold_is_that_of_all_scores_up_to_the_sketch(alpha, shift):
    """Neighbouring levels differ by a factor of at most 1.29 in the share above them.

    So the threshold of the sketches lies between the exact ones for alpha and alpha / 1.29; 1.35
    leaves room for the sites' finite numbers of scores.
    """
    rng = np.random.default_rng(3)
    sites = [rng.gamma(2.0, size=n) + shift * i for i, n in enumerate((2000, 5000, 3000))]

    pooled = pooled_threshold([sketch_scores(s) for s in sites], alpha)

    everything = np.concatenate(sites)
    assert conformal_threshold(everything, alpha) <= pooled
    assert pooled <= conformal_threshold(everything, alpha / 1.35)


def test_sites_weigh_by_their_number_of_scores():
    """990 scores of 0 to 0.989 and 10 of 100: at 5% the few do not matter, at 0.5% they do."""
    sketches = [sketch_scores(np.arange(990) / 1000), sketch_scores(np.full(10, 100.0))]

    assert pooled_threshold(sketches, 0.05) < 1.0
    assert pooled_threshold(sketches, 0.005) == 100.0


def test_sites_without_scores_change_nothing():
    some, none = sketch_scores(np.arange(50.0)), Sketch(0, NOTHING)

    assert pooled_threshold([none, some, none], 0.1) == pooled_threshold([some], 0.1)


def test_too_few_scores_give_the_largest():
    """Three scores cannot keep 0.5%: the threshold is the largest, as for raw scores."""
    scores = np.array([2.0, 5.0, 3.0])

    assert pooled_threshold([sketch_scores(scores)], 0.005) == 5.0
    assert conformal_threshold(scores, 0.005) == 5.0


def test_the_order_of_sites_does_not_matter():
    rng = np.random.default_rng(5)
    sketches = [sketch_scores(rng.normal(size=n)) for n in (40, 300, 77)]

    assert pooled_threshold(sketches, 0.03) == pooled_threshold(sketches[::-1], 0.03)
