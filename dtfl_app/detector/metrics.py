"""How good a detector is: ranking, alarms at the calibrated threshold, events, BATADAL's S."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from dtfl_app.detector.samples import settled_steps

__all__ = [
    "WANTED_RATES",
    "EventResult",
    "Metrics",
    "evaluate_scores",
    "event_results",
    "settled_steps",
    "share",
]

#: Figures of `Metrics` that hold observed false-alarm rates -> the rate that was wanted.
WANTED_RATES: Mapping[str, float] = {
    "far_at_1pct": 0.01,
    "far_at_05pct": 0.005,
    "far_at_01pct": 0.001,
}


@dataclass(frozen=True, slots=True)
class EventResult:
    """What became of one event.

    Parameters
    ----------
    event : its name.
    steps : its length in time steps.
    delay : steps from its start to the first alarm within it; None if it was missed.
    """

    event: str
    steps: int
    delay: int | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """All figures of one evaluation; rates and areas in [0, 1], NaN where undefined.

    Parameters
    ----------
    auc_pr, roc_auc : threshold-free; `auc_pr` compares with `base_rate`, the share abnormal.
    balanced_accuracy, precision, recall, f1 : per time step, at `threshold`.
    events_found, events : events with at least one alarm within, out of how many.
    hours_to_detection : mean over the events found.
    false_alarms_per_day : runs of false alarms per day of normal operation.
    false_alarm_rate : share of normal steps with an alarm.
    s_ttd, s_clf, s : BATADAL's scores (Taormina 2018): 1 - mean(delay / length) with 1 for a
        missed attack, (TPR + TNR) / 2, and their mean.
    far_at_1pct, far_at_05pct, far_at_01pct : share of settled normal steps (see `settled_steps`)
        with an alarm where 1%, 0.5% and 0.1% are wanted; NaN where they were not asked for.
    """

    auc_pr: float
    roc_auc: float
    base_rate: float
    threshold: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    events_found: int
    events: int
    hours_to_detection: float
    false_alarms_per_day: float
    false_alarm_rate: float
    s_ttd: float
    s_clf: float
    s: float
    far_at_1pct: float = math.nan
    far_at_05pct: float = math.nan
    far_at_01pct: float = math.nan

    def as_dict(self) -> dict[str, float | int]:
        """Return the figures by name."""
        return asdict(self)


def evaluate_scores(
    scores: NDArray[np.float64],
    threshold: float,
    label: NDArray[np.int8],
    event: NDArray[np.str_],
    step_s: float,
) -> Metrics:
    """Judge scores of shape (n,) against labels of shape (n,) in {0, 1, -1 = unlabelled}.

    An alarm is a score above `threshold`. Unlabelled steps are left out. `event` names the event
    under way at each step ("" for none); `step_s` is the time between steps in seconds.
    """
    known = label >= 0
    scores, truth, event = scores[known], label[known] == 1, event[known]
    alarm = scores > threshold
    recall, specificity = share(alarm[truth]), share(~alarm[~truth])
    precision = share(truth[alarm])
    found = event_results(alarm, event)
    delays = [r.delay for r in found if r.delay is not None]
    s_ttd = _s_ttd(found)
    s_clf = 0.5 * (recall + specificity)
    both = bool(truth.any() and (~truth).any())
    return Metrics(
        auc_pr=float(average_precision_score(truth, scores)) if both else math.nan,
        roc_auc=float(roc_auc_score(truth, scores)) if both else math.nan,
        base_rate=share(truth),
        threshold=float(threshold),
        balanced_accuracy=s_clf,
        precision=precision,
        recall=recall,
        f1=_f1(truth, alarm),
        events_found=len(delays),
        events=len(found),
        hours_to_detection=float(np.mean(delays)) * step_s / 3600.0 if delays else math.nan,
        false_alarms_per_day=_false_alarms_per_day(alarm, truth, step_s),
        false_alarm_rate=1.0 - specificity,
        s_ttd=s_ttd,
        s_clf=s_clf,
        s=0.5 * (s_ttd + s_clf),
    )


def event_results(alarm: NDArray[np.bool_], event: NDArray[np.str_]) -> list[EventResult]:
    """Return what became of each event, in order of appearance; "" is no event."""
    names = list(dict.fromkeys(str(e) for e in event if e))
    results = []
    for name in names:
        inside = alarm[event == name]
        hits = np.flatnonzero(inside)
        results.append(EventResult(name, len(inside), int(hits[0]) if hits.size else None))
    return results


def _s_ttd(results: list[EventResult]) -> float:
    lost = [1.0 if r.delay is None else r.delay / r.steps for r in results]
    return 1.0 - float(np.mean(lost)) if lost else math.nan


def share(mask: NDArray[np.bool_]) -> float:
    """Return the share of True in a mask; NaN where it is empty."""
    return float(mask.mean()) if mask.size else math.nan


def _f1(truth: NDArray[np.bool_], alarm: NDArray[np.bool_]) -> float:
    total = int(truth.sum()) + int(alarm.sum())
    return 2.0 * int((truth & alarm).sum()) / total if total else math.nan


def _false_alarms_per_day(
    alarm: NDArray[np.bool_], truth: NDArray[np.bool_], step_s: float
) -> float:
    false = alarm & ~truth
    starts = int((false & ~np.concatenate([[False], false[:-1]])).sum())
    days = float((~truth).sum()) * step_s / 86400.0
    return starts / days if days else math.nan
