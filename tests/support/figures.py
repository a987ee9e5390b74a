"""Figures and lines of made-up runs."""

import math

from dtfl_app.detector.metrics import Metrics
from dtfl_app.results.lines import RoundLine

__all__ = ["figures", "line_of"]


def figures(balanced_accuracy: float, **others: float) -> Metrics:
    """Plausible figures of which only some matter to a test."""
    made = {
        "auc_pr": 0.61,
        "roc_auc": 0.72,
        "base_rate": 0.1,
        "threshold": 1.5,
        "precision": 0.7,
        "recall": 0.6,
        "f1": 0.65,
        "events_found": 5,
        "events": 7,
        "hours_to_detection": 3.25,
        "false_alarms_per_day": 0.125,
        "false_alarm_rate": 0.01,
        "s_ttd": 0.9,
        "s_clf": balanced_accuracy,
        "s": 0.85,
    }
    return Metrics(**{**made, "balanced_accuracy": balanced_accuracy, **others})


def line_of(strategy: str, number: int, accuracy: float | None, **others: float) -> RoundLine:
    """Round `number`: 3 MB up, 2 MB down, 10 steps at sites, 4 at the server, half a second."""
    cost = {
        "sites": 3,
        "bytes_up": 3_000_000,
        "bytes_down": 2_000_000,
        "site_steps": 10,
        "server_steps": 4,
        "seconds": 0.5,
        "loss": 0.25,
    }
    if number == 0:
        cost = {"server_steps": 100, "loss": math.nan}
    metrics = None if accuracy is None else figures(accuracy)
    return RoundLine(strategy, number, metrics=metrics, **{**cost, **others})
