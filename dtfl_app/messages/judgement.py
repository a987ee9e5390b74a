"""Scores of a site's labelled rows, beside its calibration, where it alone has its model whole."""

from __future__ import annotations

import numpy as np
from flwr.app import MetricRecord

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.detector.samples import GROUPS, MOST_ROWS, Judged, ScoreSample
from dtfl_app.messages.declaration import EXAMPLES_LIMIT, Metrics, MetricSpec, is_finite

__all__ = ["judged_metrics", "judged_specs", "read_judged"]

_COUNTS, _SCORES = "evaluation-counts", "evaluation-scores"


def judged_specs(kinds: int) -> dict[str, MetricSpec]:
    """Declare the samples of a site that may have labelled rows, on `kinds` kinds of evidence."""
    most = len(GROUPS) * MOST_ROWS * kinds
    return {
        _COUNTS: MetricSpec(int, (len(GROUPS),), optional=True),
        _SCORES: MetricSpec(float, range(kinds, most + 1, kinds), optional=True),
    }


def judged_metrics(judged: Judged) -> Metrics:
    """Rows per group, and one after the other the evidence of those that stand for them."""
    if not judged:
        return {}
    counts = [sample.count for sample in judged]
    return {
        _COUNTS: counts,
        _SCORES: np.concatenate([sample.evidence.ravel() for sample in judged]).tolist(),
    }


def read_judged(metrics: MetricRecord, kinds: int) -> Judged:
    """Inverse of `judged_metrics`; ReplyError where a site wrote anything else."""
    if _COUNTS not in metrics and _SCORES not in metrics:
        return ()
    counts, values = metrics.get(_COUNTS), metrics.get(_SCORES)
    if not isinstance(counts, list) or len(counts) != len(GROUPS):
        raise ReplyError(f"{_COUNTS} is {quoted(counts)}, expected a list of {len(GROUPS)}")
    whole = [count for count in counts if type(count) is int and 0 <= count <= EXAMPLES_LIMIT]
    if len(whole) < len(GROUPS):
        raise ReplyError(
            f"{_COUNTS} is {quoted(counts)}, expected integers from 0 to {EXAMPLES_LIMIT}"
        )
    rows = [min(count, MOST_ROWS) for count in whole]
    if not isinstance(values, list) or len(values) != sum(rows) * kinds:
        raise ReplyError(f"{_SCORES} must be {sum(rows)} times {kinds} numbers")
    if not all(is_finite(value) for value in values):
        raise ReplyError(f"{_SCORES} must be finite numbers")
    evidence = np.asarray(values, dtype=np.float64).reshape(-1, kinds)
    parts = np.split(evidence, np.cumsum(rows)[:-1])
    return tuple(ScoreSample(n, part) for n, part in zip(whole, parts, strict=True))
