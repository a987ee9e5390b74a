"""Judging models that only their sites have whole, by samples of their scores of labelled rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.metrics import WANTED_RATES, Metrics
from dtfl_app.detector.samples import Judged, ScoreSample

__all__ = ["alarms_among", "judge_samples"]

FloatArray = NDArray[np.float64]


def judge_samples(
    sites: Mapping[str, Judged], calibration: Calibration, alpha: float
) -> Metrics | None:
    """Return the figures of all sites' rows together at false-alarm rate `alpha`.

    What asks for rows in their order, events and their delays, false alarms per day and the scores
    made of them, is NaN, and no event counts. None where no site has labelled rows.
    """
    rows = _Rows.of(sites)
    if not len(rows.weights):
        return None
    alarm = calibration.judge(rows.evidence, alpha, rows.sites)
    raised, truth, weights = alarm.score > alarm.threshold, rows.group == 0, rows.weights
    recall, far = _share(raised, weights * truth), _share(raised, weights * ~truth)
    found, total = _sum(raised & truth, weights), _sum(raised, weights) + _sum(truth, weights)
    both = bool(truth.any() and not truth.all())
    balanced, settled = 0.5 * (recall + 1.0 - far), weights * (rows.group == 1)
    rates = {
        name: _share(calibration.exceeds(rows.evidence, wanted, rows.sites), settled)
        for name, wanted in WANTED_RATES.items()
    }
    ranked = (truth, alarm.score)
    return Metrics(
        auc_pr=float(average_precision_score(*ranked, sample_weight=weights)) if both else math.nan,
        roc_auc=float(roc_auc_score(*ranked, sample_weight=weights)) if both else math.nan,
        base_rate=_share(truth, weights),
        threshold=float(alarm.threshold),
        balanced_accuracy=balanced,
        precision=_share(truth, weights * raised),
        recall=recall,
        f1=2.0 * found / total if total else math.nan,
        events_found=0,
        events=0,
        hours_to_detection=math.nan,
        false_alarms_per_day=math.nan,
        false_alarm_rate=far,
        s_ttd=math.nan,
        s_clf=balanced,
        s=math.nan,
        **rates,
    )


def alarms_among(site: str, sample: ScoreSample, calibration: Calibration, alpha: float) -> float:
    """Return how many of a group's rows raise an alarm at a site, at false-alarm rate `alpha`."""
    sites = np.full(len(sample.evidence), site)
    return _sum(calibration.exceeds(sample.evidence, alpha, sites), sample.weights)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows of all sites: evidence (m, k); place in `samples.GROUPS`, site and weight, each (m,)."""

    evidence: FloatArray
    group: NDArray[np.intp]
    sites: NDArray[np.str_]
    weights: FloatArray

    @classmethod
    def of(cls, sites: Mapping[str, Judged]) -> _Rows:
        parts = [
            (site, group, sample)
            for site in sorted(sites)
            for group, sample in enumerate(sites[site])
        ]
        lengths = [len(sample.evidence) for _, _, sample in parts]
        return cls(
            np.concatenate([sample.evidence for *_, sample in parts])
            if parts
            else np.zeros((0, 1)),
            np.repeat([group for _, group, _ in parts], lengths).astype(np.intp),
            np.repeat(np.array([site for site, _, _ in parts], dtype=str), lengths),
            np.concatenate([np.zeros(0), *(sample.weights for *_, sample in parts)]),
        )


def _sum(mask: NDArray[np.bool_], weights: FloatArray) -> float:
    return float(weights[mask].sum())


def _share(mask: NDArray[np.bool_], weights: FloatArray) -> float:
    """Weighted share of True in a mask; NaN where nothing has weight."""
    total = float(weights.sum())
    return _sum(mask, weights) / total if total else math.nan
