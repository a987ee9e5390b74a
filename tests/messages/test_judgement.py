"""Scores of labelled rows travel as they are, and no others are let in."""

import math

import numpy as np
import pytest
from flwr.app import MetricRecord

from dtfl_app.core.errors import ReplyError
from dtfl_app.detector.samples import MOST_ROWS, sample_scores
from dtfl_app.messages.judgement import judged_metrics, judged_specs, read_judged

KINDS = 2
TOLD = {"evaluation-counts": [1, 300, 0], "evaluation-scores": [0.5] * KINDS * (1 + MOST_ROWS)}


def test_what_is_read_is_what_was_told():
    rng = np.random.default_rng(0)
    judged = tuple(sample_scores(rng.normal(size=(n, KINDS))) for n in (3, 300, 0))

    found = read_judged(MetricRecord(judged_metrics(judged)), KINDS)

    assert [sample.count for sample in found] == [3, 300, 0]
    assert all(np.array_equal(a.evidence, b.evidence) for a, b in zip(found, judged, strict=True))


def test_a_site_without_labelled_rows_says_nothing():
    assert judged_metrics(()) == {}
    assert read_judged(MetricRecord({}), KINDS) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluation-counts": [1, 300]}, "expected a list of 3"),
        ({"evaluation-counts": 301}, "expected a list of 3"),
        ({"evaluation-counts": [1, -300, 0]}, "integers from 0 to"),
        ({"evaluation-counts": [1, 10**8, 0]}, "integers from 0 to"),
        ({"evaluation-counts": [2, 300, 0]}, "must be 258 times 2 numbers"),
        ({"evaluation-scores": [0.5] * 513}, "must be 257 times 2 numbers"),
        ({"evaluation-scores": 0.5}, "must be 257 times 2 numbers"),
        ({"evaluation-scores": [math.nan] * KINDS * 257}, "finite"),
    ],
)
def test_impossible_scores_are_refused(changes, said):
    with pytest.raises(ReplyError, match=said):
        read_judged(MetricRecord({**TOLD, **changes}), KINDS)


def test_counts_or_scores_alone_are_refused():
    for lacking in TOLD:
        with pytest.raises(ReplyError):
            read_judged(MetricRecord({k: v for k, v in TOLD.items() if k != lacking}), KINDS)


def test_the_most_that_may_leave_is_declared():
    lengths = judged_specs(KINDS)["evaluation-scores"].lengths

    assert (min(lengths), max(lengths)) == (KINDS, 3 * MOST_ROWS * KINDS)
