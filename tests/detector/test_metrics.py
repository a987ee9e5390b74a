import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from dtfl_app.detector.metrics import (
    EventResult,
    Metrics,
    evaluate_scores,
    event_results,
    settled_steps,
)

HOUR = 3600.0


def judge(alarm: str, truth: str, unlabelled: str | None = None, step_s: float = HOUR) -> Metrics:
    """One character per time step: alarm "!" or ".", event name "a" to "z" or ".".

    Steps marked "?" in `unlabelled` have label -1.
    """
    event = np.array(["" if c == "." else c for c in truth])
    label = (event != "").astype(np.int8)
    label[[c == "?" for c in unlabelled or "." * len(alarm)]] = -1
    scores = np.array([float(c == "!") for c in alarm])
    return evaluate_scores(scores, 0.5, label, event, step_s)


def test_rates_by_hand():
    """4 abnormal steps of which 3 found; 6 normal steps of which 1 raised an alarm."""
    found = judge(alarm="!!!...!...", truth="aaaa......")

    assert found.recall == pytest.approx(3 / 4)
    assert found.false_alarm_rate == pytest.approx(1 / 6)
    assert found.precision == pytest.approx(3 / 4)
    assert found.f1 == pytest.approx(2 * 3 / (4 + 4))
    assert found.balanced_accuracy == found.s_clf == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert found.base_rate == pytest.approx(4 / 10)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(5, 60))
def test_figures_per_step_agree_with_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(np.int8)
    label[:2] = [0, 1]
    scores = np.round(rng.normal(size=n) + label, 1)  # rounded, so that ties occur
    alarm = scores > 0.4

    found = evaluate_scores(scores, 0.4, label, np.where(label == 1, "e", ""), HOUR)

    assert found.roc_auc == pytest.approx(reference.roc_auc_score(label, scores))
    assert found.auc_pr == pytest.approx(reference.average_precision_score(label, scores))
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(label, alarm))
    assert found.recall == pytest.approx(reference.recall_score(label, alarm))
    assert found.f1 == pytest.approx(reference.f1_score(label, alarm))
    if alarm.any():
        assert found.precision == pytest.approx(reference.precision_score(label, alarm))
    else:
        assert math.isnan(found.precision)


@pytest.mark.parametrize(
    ("alarm", "s_ttd", "delay"),
    [
        ("..............", 0.0, None),  # missed: the whole length is lost
        ("..!...........", 1.0, 0),  # found in its first hour
        ("......!.......", 0.6, 4),  # 4 of 10 hours late
        ("...........!..", 0.1, 9),  # in its last hour
        ("!!............", 0.0, None),  # the alarm ends before it starts
        (".!!!..........", 1.0, 0),  # the alarm spans its start
        ("............!!", 0.0, None),  # the alarm comes when it is over
        ("....!....!....", 0.8, 2),  # only the first alarm counts
    ],
)
def test_time_to_detection_as_published(alarm, s_ttd, delay):
    """S_TTD = 1 - mean(TTD / length); here one attack in hours 2 to 11, ten hours long.

    Taormina et al. 2018, eqs. 1 and 2: TTD counts from the attack's start to the first hour under
    attack that is flagged, and is the attack's length when it is missed.
    """
    truth = "..aaaaaaaaaa.."

    found = judge(alarm, truth)

    assert found.s_ttd == pytest.approx(s_ttd)
    assert found.events_found == (delay is not None)
    if delay is None:
        assert math.isnan(found.hours_to_detection)
    else:
        assert found.hours_to_detection == delay


def test_s_is_the_mean_of_its_two_halves_over_all_attacks():
    """a (4 h) is found after 1, b (2 h) is missed: S_TTD = 1 - (1/4 + 1) / 2 = 3/8.

    TPR = 3/6; TNR = 3/4; S_CLF = 5/8; S = (3/8 + 5/8) / 2 = 1/2.
    """
    found = judge(alarm=".!!!...!..", truth="aaaa.bb...")

    assert found.s_ttd == pytest.approx(3 / 8)
    assert found.s_clf == pytest.approx(5 / 8)
    assert found.s == pytest.approx(1 / 2)
    assert (found.events_found, found.events) == (1, 2)


def test_time_to_detection_is_in_hours_whatever_the_step():
    """Steps of 15 s: found after 6 steps and after 2, 4 on average: 60 s."""
    found = judge("......!...!.", "aaaaaaaabbbb", step_s=15.0)

    assert found.hours_to_detection == pytest.approx(60 / 3600)


def test_unlabelled_steps_are_left_out():
    """With or without the steps marked ?, the figures are the same."""
    marked = judge("!.!!..!", "aa....b", unlabelled="..??...")
    without = judge("!...!", "aa..b")

    assert marked == replace(without, threshold=marked.threshold)


def test_without_abnormal_steps_only_false_alarms_are_defined():
    """3 runs of alarms in 48 normal hours are 1.5 a day; 4 of 48 steps are a rate of 1/12."""
    found = judge("!!..!......!" + "." * 36, "." * 48)

    assert found.false_alarms_per_day == pytest.approx(1.5)
    assert found.false_alarm_rate == pytest.approx(1 / 12)
    assert (found.events, found.events_found, found.base_rate) == (0, 0, 0.0)
    undefined = ("auc_pr", "roc_auc", "recall", "balanced_accuracy", "s_ttd", "s_clf", "s")
    assert all(math.isnan(found.as_dict()[name]) for name in (*undefined, "hours_to_detection"))


def test_without_normal_steps_false_alarms_are_undefined():
    found = judge("!.!!", "aaaa")

    assert found.recall == pytest.approx(3 / 4)
    undefined = ("auc_pr", "roc_auc", "balanced_accuracy", "s", "false_alarm_rate")
    assert all(math.isnan(found.as_dict()[name]) for name in (*undefined, "false_alarms_per_day"))


def test_nothing_labelled_leaves_nothing_defined():
    found = judge("!.", "..", unlabelled="??")

    figures = {k: v for k, v in found.as_dict().items() if k not in ("events", "events_found")}
    assert all(math.isnan(v) for k, v in figures.items() if k != "threshold")


def test_a_false_alarm_run_within_an_event_is_none():
    """Only the alarms in normal hours count, as runs: two in a day of 20 normal hours."""
    found = judge("!!..!!!!...." + "!" + "." * 11, "....aaaa" + "." * 16)

    assert found.false_alarms_per_day == pytest.approx(2 / (20 / 24))


def test_a_score_at_the_threshold_is_no_alarm():
    label, event = np.array([1, 0], dtype=np.int8), np.array(["a", ""])

    found = evaluate_scores(np.array([0.5, 0.5]), 0.5, label, event, HOUR)

    assert (found.recall, found.false_alarm_rate) == (0.0, 0.0)


def test_without_a_threshold_there_is_no_alarm():
    label, event = np.array([1, 0], dtype=np.int8), np.array(["a", ""])

    found = evaluate_scores(np.array([3.0, 0.5]), math.nan, label, event, HOUR)

    assert found.roc_auc == 1.0
    assert (found.recall, found.events_found, found.s_ttd) == (0.0, 0, 0.0)


def test_events_come_in_order_of_appearance_with_their_length_and_delay():
    event = np.array(["b", "b", "", "a", "a", "a"])
    alarm = np.array([False, True, True, False, False, False])

    assert event_results(alarm, event) == [EventResult("b", 2, 1), EventResult("a", 3, None)]


def test_settled_steps_begin_so_many_after_an_event_and_anew_with_a_recording():
    """24 steps to settle, an event at step 2; the second recording, from step 30, has none."""
    label = np.zeros(40, np.int8)
    label[2], label[35] = 1, -1
    instance = np.array(["a"] * 30 + ["b"] * 10)

    settled = settled_steps(label, instance, 24)

    assert np.flatnonzero(settled).tolist() == [
        0,
        1,
        27,
        28,
        29,
        30,
        31,
        32,
        33,
        34,
        36,
        37,
        38,
        39,
    ]


def test_without_settling_every_normal_step_counts():
    label = np.array([0, 1, 0, 0, -1, 0], np.int8)

    settled = settled_steps(label, np.array(["a"] * 6), 0)

    assert settled.tolist() == [True, False, True, True, False, True]
