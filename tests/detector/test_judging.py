"""What samples of scores say of a model is what all its scores would."""

import math
from dataclasses import fields

import numpy as np
import pytest

from dtfl_app.detector.calibration import Calibration, sketch_scores
from dtfl_app.detector.judging import alarms_among, judge_samples
from dtfl_app.detector.metrics import Metrics, evaluate_scores
from dtfl_app.detector.samples import MOST_ROWS, sample_scores

NONE = sample_scores(np.zeros((0, 1)))
UNKNOWN = {
    "events_found", "events", "hours_to_detection", "false_alarms_per_day", "s_ttd", "s",
    "far_at_1pct", "far_at_05pct", "far_at_01pct",
}  # fmt: skip


def calibration(**sites) -> Calibration:
    sketches = {name: (sketch_scores(np.array(scores)),) for name, scores in sites.items()}
    return Calibration(np.array([-math.inf]), sketches)


def column(*scores) -> np.ndarray:
    return np.array(scores, dtype=float)[:, None]


def test_small_groups_lose_nothing():
    """The figures of two sites' rows together, abnormal ones first."""
    rng = np.random.default_rng(3)
    parts = {site: [rng.normal(m, 1, (n, 1)) for m, n in ((2, 30), (0, 200), (1, 9))]
             for site in ("east", "west")}  # fmt: skip
    told = calibration(east=rng.normal(size=300), west=rng.normal(size=300))

    found = judge_samples(
        {site: tuple(map(sample_scores, groups)) for site, groups in parts.items()}, told, 0.05
    )

    scores = np.concatenate([part for groups in parts.values() for part in groups])[:, 0]
    label = np.tile(np.repeat(np.array([1, 0, 0], np.int8), [30, 200, 9]), 2)
    threshold = float(told.thresholds(0.05)[0])
    wanted = evaluate_scores(scores, threshold, label, np.full(len(label), ""), 60.0)
    for name in {field.name for field in fields(Metrics)} - UNKNOWN:
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-12), name
    settled = np.concatenate([parts[site][1] for site in parts])[:, 0]
    assert found.far_at_1pct == np.mean(settled > told.thresholds(0.01)[0])
    assert (found.events, found.events_found) == (0, 0)
    assert math.isnan(found.s) and math.isnan(found.false_alarms_per_day)


def test_of_a_large_group_the_foremost_are_told_row_by_row_and_the_others_evenly():
    """Of 0..1279 the last 128, and of the 1152 others one in nine, the middle one: 4, 13, ..."""
    sample = sample_scores(np.arange(1280.0)[::-1, None])

    assert sample.count == 1280
    assert sample.evidence[:3, 0].tolist() == [4.0, 13.0, 22.0]
    assert sample.evidence[128:, 0].tolist() == list(range(1152, 1280))
    assert sample.weights.tolist() == [9.0] * 128 + [1.0] * 128
    assert sample.evidence.shape == (MOST_ROWS, 1)


def test_alarms_of_either_kind_of_evidence_are_among_the_foremost():
    """500 rows of two kinds, one loud in the first and one in the second."""
    evidence = np.random.default_rng(0).uniform(size=(500, 2))
    evidence[17, 0], evidence[230, 1] = 9.0, 9.0

    sample = sample_scores(evidence)

    assert [9.0 in sample.evidence[128:, kind] for kind in (0, 1)] == [True, True]


def test_a_site_s_alarms_are_counted_by_weight():
    """Above 1199 are 80 of 1280 rows, all of them told; above 99 the last 128 and 9 for each of the
    others from 103 on, of which there are 117."""
    sample = sample_scores(np.arange(1280.0)[:, None])

    assert alarms_among("east", sample, calibration(east=[1199.0] * 100), 0.01) == 80
    assert alarms_among("east", sample, calibration(east=[99.0] * 100), 0.01) == 128 + 9 * 117


def test_rows_of_one_kind_leave_open_what_they_cannot_tell():
    found = judge_samples(
        {"east": (NONE, sample_scores(column(1, 2, 3, 4)), NONE)}, calibration(east=[3.5] * 50), 0.1
    )

    assert found.false_alarm_rate == 0.25
    assert all(math.isnan(x) for x in (found.recall, found.balanced_accuracy, found.auc_pr))


def test_nobody_with_labelled_rows_is_no_figures_at_all():
    assert judge_samples({}, calibration(east=[1.0]), 0.1) is None
