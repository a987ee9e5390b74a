import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtfl_app.detector.calibration import (
    SKETCH_LEVELS,
    Calibration,
    Sketch,
    conformal_threshold,
    pooled_p_values,
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


class TestPValues:
    def test_rank_by_hand(self):
        """Scores 1 to 999. Above all: 1 / 1000. Above 900 of them: (1 + 99) / 1000, give or take
        the one score by which a sketch counts from above. Below all: 1.
        """
        sketch = sketch_scores(np.arange(1.0, 1000.0))

        found = pooled_p_values([sketch], np.array([1000.0, 900.5, 0.0]))

        assert found.tolist() == pytest.approx([0.001, 0.1, 1.0], abs=0.0015)

    def test_without_calibration_nothing_is_remarkable(self):
        assert pooled_p_values([sketch_scores(NOTHING)], np.array([1e9])).tolist() == [1.0]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(SCORES, min_size=1, max_size=4), SCORES, st.floats(0.001, 0.5))
    def test_small_p_values_are_exactly_the_scores_above_the_threshold(self, sites, new, alpha):
        """True for every alpha that the pooled scores can tell, alpha >= 1 / (N + 1)."""
        sketches = [sketch_scores(np.array(scores)) for scores in sites]
        alpha = max(alpha, 1.0 / (sum(map(len, sites)) + 1))
        points = np.concatenate([np.array(new), *map(np.array, sites)])

        small = pooled_p_values(sketches, points) <= alpha + 1e-12

        assert (small == (points > pooled_threshold(sketches, alpha))).all()

    def test_new_normal_scores_are_uniform_or_above(self):
        """P(p <= alpha) <= alpha: 100,000 new scores against 2,000 of the same kind."""
        rng = np.random.default_rng(5)
        sketches = [sketch_scores(rng.exponential(size=500)) for _ in range(4)]

        p = pooled_p_values(sketches, rng.exponential(size=100_000))

        for alpha in (0.1, 0.01, 0.005):
            assert (p <= alpha).mean() <= 1.5 * alpha


class TestCalibration:
    def two_kinds(self):
        """Two sites of 500 scores: the first kind 1 to 500 over 500, the second all zero."""
        ramp, flat = np.arange(1.0, 501.0) / 500, np.zeros(500)
        sketches = (sketch_scores(ramp), sketch_scores(flat))
        return Calibration(np.array([-np.inf, 0.1]), {"a": sketches, "b": sketches})

    def test_each_kind_has_its_share_of_the_rate_and_its_floor(self):
        calibration = self.two_kinds()

        first, second = calibration.thresholds(0.1)

        assert first == pooled_threshold(calibration.sketches(0), 0.05)
        assert second == 0.1

    def test_the_score_is_evidence_over_threshold_and_names_the_kind(self):
        calibration = self.two_kinds()
        limit = calibration.thresholds(0.1)[0]

        alarm = calibration.judge(np.array([[limit * 2, 0.0], [0.1, 0.3], [0.1, 0.1]]), 0.1)

        assert alarm.threshold == 1.0
        assert alarm.score.tolist() == pytest.approx([2.0, 3.0, 1.0])
        assert alarm.foremost.tolist() == [0, 1, 1]
        assert (alarm.score > alarm.threshold).tolist() == [True, True, False]

    def test_p_values_are_the_smallest_times_the_number_of_kinds(self):
        """No score of 1,000 is at or above 0.3 in the second kind: 2 * 1 / 1001."""
        found = self.two_kinds().p_values(np.array([[0.002, 0.3], [0.002, 0.0]]))

        assert found.tolist() == pytest.approx([2 / 1001, 1.0])

    def test_one_kind_keeps_its_own_unit(self):
        calibration = Calibration(
            np.array([-np.inf]), {"a": (sketch_scores(-np.arange(1.0, 101.0)),)}
        )

        alarm = calibration.judge(np.array([[-0.5], [-50.0]]), 0.1)

        assert alarm.score.tolist() == [-0.5, -50.0]
        assert alarm.threshold == pooled_threshold(calibration.sketches(0), 0.1) < 0

    def test_kinds_that_cannot_tell_their_share_are_named(self):
        """Two kinds of 1,000 scores: each tells 1 / 1001, so both together 2 / 1001."""
        calibration = self.two_kinds()

        assert calibration.too_few(2 / 1001) == []
        assert calibration.too_few(2 / 1002) == [0, 1]

    def test_a_kind_without_calibration_raises_no_alarm(self):
        nothing = (sketch_scores(NOTHING), sketch_scores(np.arange(100.0)))
        calibration = Calibration(np.array([-np.inf, 0.0]), {"a": nothing})

        alarm = calibration.judge(np.array([[1e9, 5.0], [1e9, 500.0]]), 0.1)

        assert (alarm.score > 1.0).tolist() == [False, True]
        assert calibration.exceeds(np.array([[1e9, 5.0]]), 0.1).tolist() == [False]


HONEST = [np.random.default_rng(place).exponential(size=400) for place in range(10)]


def of_sites(*scores, **options):
    sketches = {f"site-{i}": [sketch_scores(np.asarray(s))] for i, s in enumerate(scores)}
    return Calibration(np.zeros(1), sketches, **options)


@pytest.mark.parametrize("liars", [1, 2])
def test_up_to_the_trimmed_share_of_liars_move_a_threshold_by_at_most_a_factor_of_two(liars):
    """Two of ten: the breakdown point of a trim of 0.2."""
    lied = [np.full(400, 1e300)] * liars + HONEST[liars:]

    found = float(of_sites(*lied, trim=0.2).thresholds(0.005)[0])

    alone = [float(sketch_scores(scores).values[-1]) for scores in HONEST]
    assert found <= 2 * max(alone)


@pytest.mark.parametrize("liars", [1, 2])
def test_sites_that_claim_no_scores_above_0_hardly_lower_a_threshold(liars):
    """Of the others' scores a share of 0.005 * 10 / (10 - liars) lies above it."""
    lied = [np.zeros(400)] * liars + HONEST[liars:]

    found = float(of_sites(*lied, trim=0.2).thresholds(0.005)[0])

    assert found >= np.quantile(np.concatenate(HONEST[liars:]), 1 - 0.005 * 10 / (10 - liars))


def test_one_more_liar_than_are_trimmed_sets_the_threshold():
    lied = [np.full(400, 1e300)] * 3 + HONEST[3:]

    assert of_sites(*lied, trim=0.2).thresholds(0.005)[0] > 1e299


def test_honest_sites_within_a_factor_of_two_count_as_they_are():
    unlike = [(1 + 0.1 * place) * scores for place, scores in enumerate(HONEST)]

    bounded, plain = of_sites(*unlike, trim=0.2), of_sites(*unlike)

    assert bounded.thresholds(0.005).tolist() == plain.thresholds(0.005).tolist()
    points = np.linspace(0, 10, 50)[:, None]
    assert bounded.p_values(points).tolist() == plain.p_values(points).tolist()


def test_logits_below_0_are_drawn_in_likewise():
    """Eight sites have logits of -10 to -1; two say that theirs are a million."""
    sites = [np.linspace(-10, -1, 400)] * 8 + [np.full(400, 1e6)] * 2

    assert of_sites(*sites, trim=0.2).thresholds(0.005).tolist() == [0.0]


def test_a_count_of_ten_million_weighs_no_more_than_three_sites():
    """The liar says that all of its ten million scores are 0."""
    liar = Sketch(10_000_000, np.zeros(len(SKETCH_LEVELS)))
    sites = {f"site-{i}": [sketch_scores(scores)] for i, scores in enumerate(HONEST)}
    calibration = Calibration(np.zeros(1), {**sites, "liar": [liar]}, trim=0.05)

    masses = {sketch.count: sketch.mass for sketch in calibration.sketches(0)}

    assert masses == {400: 400.0, 10_000_000: 1200.0}
    assert calibration.thresholds(0.005)[0] > np.quantile(np.concatenate(HONEST), 0.98)


def test_sites_of_like_size_weigh_what_they_have():
    calibration = of_sites(HONEST[0][:100], HONEST[1][:200], HONEST[2])

    assert [sketch.mass for sketch in calibration.sketches(0)] == [100, 200, 400]


@pytest.mark.parametrize(("count", "others"), [(400, 1), (199, 1), (120, 80), (0, 200)])
def test_a_site_s_own_scores_are_filled_up_by_all_others(count, others):
    """Others have 3,600 scores."""
    calibration = of_sites(*HONEST[:9], HONEST[9][:count], own=True).at("site-9")

    masses = [sketch.mass for sketch in calibration.sketches(0)]

    assert masses[9] == count and sum(masses[:9]) == pytest.approx(others)


def test_with_scores_enough_a_site_s_threshold_is_its_own_and_with_few_that_of_all():
    """Its scores are ten times the others'; a rate of 5%."""
    rng = np.random.default_rng(3)
    others = [rng.exponential(size=2000) for _ in range(9)]
    found = {}
    for count in (2, 2000):
        own = np.random.default_rng(4).exponential(size=count) * 10
        calibration = of_sites(*others, own, own=True).at("site-9")
        found[count] = float(calibration.thresholds(0.05)[0])

    pooled = float(of_sites(*others).thresholds(0.05)[0])
    assert found[2] == pytest.approx(pooled, rel=0.2)
    assert found[2000] == pytest.approx(10 * -np.log(0.05), rel=0.15)


def test_steps_are_judged_by_the_threshold_of_their_own_site():
    quiet, loud = HONEST[0], 20 * HONEST[1]
    calibration = of_sites(quiet, loud, own=True)
    evidence = np.array([[8.0], [8.0], [200.0], [8.0]])
    sites = np.array(["site-0", "site-1", "site-1", "elsewhere"])

    alarm = calibration.judge(evidence, 0.01, sites)

    assert (alarm.score > alarm.threshold).tolist() == [True, False, True, False]
    assert calibration.exceeds(evidence, 0.01, sites).tolist() == [True, False, True, False]
    assert alarm.threshold == 1.0
    assert (alarm.p_value[[0, 2]] <= 0.01).all() and alarm.p_value[1] > 0.01


def test_a_site_that_moves_the_threshold_much_is_told_with_its_factor():
    calibration = of_sites(*HONEST[1:], 30 * HONEST[0])

    moved = calibration.moved_by(0.005)

    assert list(moved) == ["site-9"]
    without = of_sites(*HONEST[1:]).thresholds(0.005)
    factor = float((calibration.thresholds(0.005) / without)[0])
    assert moved["site-9"] == pytest.approx(factor) and factor > 2
    assert of_sites(*HONEST).moved_by(0.005) == {}
    assert of_sites(HONEST[0]).moved_by(0.005) == {}
