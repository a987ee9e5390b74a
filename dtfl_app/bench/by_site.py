"""Figures per site, from the alarms on an evaluation set that several sites are part of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

__all__ = ["site_figures"]


def site_figures(alarms: pd.DataFrame, site_of: Callable[[str], str]) -> dict[str, dict[str, Any]]:
    """Balanced accuracy and share of false alarms per site.

    Parameters
    ----------
    alarms : one row per time step with columns instance, label (1, 0, or -1 = unlabelled) and
        alarm.
    site_of : instance -> the site where it was recorded.

    Returns site -> {"balanced_accuracy", "false_alarm_rate", "normal_steps"}; a figure is None
    where the site has no step to judge it by.
    """
    known = alarms[alarms["label"] >= 0]
    site = known["instance"].astype(str).map(site_of)
    return {str(name): _figures(rows) for name, rows in known.groupby(site)}


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    alarm, abnormal = rows["alarm"].astype(bool), rows["label"] == 1
    recall = float(alarm[abnormal].mean()) if abnormal.any() else None
    false = float(alarm[~abnormal].mean()) if not abnormal.all() else None
    both = None if recall is None or false is None else 0.5 * (recall + 1.0 - false)
    return {
        "balanced_accuracy": both,
        "false_alarm_rate": false,
        "normal_steps": int((~abnormal).sum()),
    }
