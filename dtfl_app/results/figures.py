"""Every figure that is shown, described once: for terminal, report, benchmark tables and README.

Keys are those of `Metrics`, of summary.json and of the columns of a benchmark's Parquet tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["FIGURES", "Figure", "figures"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a figure is and how it is written.

    Parameters
    ----------
    key : its name where it is stored.
    title : head of its column.
    note : what it is over or means, in a few words.
    digits : after the point; whole numbers go without.
    better : +1 more is better, -1 less is better, 0 neither.
    scale : what is shown for each 1 that is stored: 100 for a share shown in %.
    unit : what follows it in a sentence.
    name : what it is called where it stands alone; empty = its title.
    """

    key: str
    title: str
    note: str = ""
    digits: int = 3
    better: int = 0
    scale: float = 1
    unit: str = ""
    name: str = ""

    def text(self, value: float | None, thousands: str = "") -> str:
        """Write a stored value, `thousands` between its groups of digits; "-" where undefined."""
        if value is None or not math.isfinite(value):
            return "-"
        shown = value * self.scale
        digits = 0 if isinstance(shown, int) else self.digits
        return f"{shown:,.{digits}f}".replace(",", thousands)

    def spread(self, values: Iterable[float]) -> str:
        """Write mean ± sample standard deviation; a single number alone, "-" for none.

        Where only some are finite, how many: a mean over the runs that got there says so.
        """
        every = list(values)
        known = [value for value in every if math.isfinite(value)]
        if not known:
            return "-"
        text = self.text(float(np.mean(known)))
        if len(known) > 1:
            text += f" ± {self.text(float(np.std(known, ddof=1)))}"
        return text if len(known) == len(every) else f"{text} ({len(known)} of {len(every)})"

    def measured(self, value: float | None) -> str:
        """Write a stored value with its unit, for a sentence."""
        return f"{self.text(value)} {self.unit}".rstrip()

    def to(self, target: str) -> Figure:
        """Return this cost up to the first model at `target`: the less, the better."""
        key, title = f"{self.key}_to_{target}", f"{self.title} to {target}"
        return replace(self, key=key, title=title, better=-1)


def figures(*keys: str) -> tuple[Figure, ...]:
    """Return the figures with these keys."""
    return tuple(FIGURES[key] for key in keys)


def _false_alarms_at(key: str, wanted: str) -> Figure:
    name = f"false-alarm rate of settled operation at {wanted} wanted"
    return Figure(key, f"at {wanted}", "% of settled normal steps", 2, scale=100, name=name)


_ALL = (
    # What a model tells apart, over the time steps of the evaluation set.
    Figure("balanced_accuracy", "balanced accuracy", better=1),
    Figure("auc_pr", "AUC-PR", "without a threshold", better=1),
    Figure("base_rate", "base rate", "share abnormal", name="base rate (AUC-PR of a random score)"),
    Figure("roc_auc", "ROC-AUC", "without a threshold", better=1),
    Figure("s", "S", "BATADAL's score", better=1, name="BATADAL score S"),
    Figure("s_ttd", "S_TTD", "time to detection", better=1),
    Figure("s_clf", "S_CLF", "classification", better=1, name="S_CLF = balanced accuracy"),
    Figure("precision", "precision", better=1),
    Figure("recall", "recall", better=1),
    Figure("f1", "F1", better=1),
    Figure("threshold", "threshold", "on the score", 4),
    # What its alarms found, and what they cost.
    Figure("events_found", "found", "events", 1, 1),
    Figure("events", "events", digits=0),
    Figure(
        "hours_to_detection", "hours to detection", "mean of those found", 1, -1,
        name="hours to detection, mean",
    ),
    Figure("false_alarms_per_day", "false alarms/day", "stretches", 2, -1,
           name="false alarms per day"),
    Figure(
        "false_alarm_rate", "false alarms, %", "of normal steps", 2, -1, 100,
        name="false-alarm rate, all normal steps",
    ),
    _false_alarms_at("far_at_1pct", "1%"),
    _false_alarms_at("far_at_05pct", "0.5%"),
    _false_alarms_at("far_at_01pct", "0.1%"),
    # Several sites, several groups of events.
    Figure("worst_site_balanced_accuracy", "worst site", "balanced accuracy", better=1),
    Figure("simulated_balanced_accuracy", "balanced accuracy, simulated families", better=1),
    Figure("held_out_balanced_accuracy", "held-out families", better=1),
    Figure("simulated_auc_pr", "AUC-PR, simulated families", better=1),
    Figure("held_out_auc_pr", "AUC-PR, held-out families", better=1),
    # What it took. A benchmark stores bytes where a summary has megabytes.
    Figure("rounds", "rounds", digits=0),
    Figure("megabytes", "MB", "both ways, all sites", 2, -1, unit="MB"),
    Figure("megabytes_up", "MB up", "all sites", 2, -1),
    Figure("megabytes_down", "MB down", "all sites", 2, -1),
    Figure("bytes_up", "MB up", "all sites", 2, -1, 1e-6),
    Figure("bytes_down", "MB down", "all sites", 2, -1, 1e-6),
    Figure("seconds", "seconds", "wall time", 1, -1, unit="s"),
    Figure("site_steps", "site steps", "optimiser steps, all sites", 0, -1),
    Figure("server_steps", "server steps", "optimiser steps", 0, -1),
    Figure("refused", "refused", "replies", 0),
    # What the server itself sees of the twin's help.
    Figure("site_score", "site score", digits=4),
    Figure("twin_loss", "twin loss", digits=4),
)  # fmt: skip

#: Key -> figure.
FIGURES = {figure.key: figure for figure in _ALL}
