"""Which figures a data set has and in what unit of time they are told: its benchmark's words.

Times are stored in hours. They are told by the period of a time step: in hours where a step is an
hour or longer, in minutes or seconds where it is shorter. BATADAL's score S is defined for hourly
attacks on C-Town's plant; elsewhere it would be a number without a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dtfl_app.results.figures import FIGURES, Figure

__all__ = [
    "HOURS",
    "Measures",
    "TimeUnit",
    "defined",
    "measures_of",
    "step_seconds",
    "time_unit",
]

_SCORES = frozenset({"s", "s_ttd", "s_clf"})


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """A unit of time.

    Parameters
    ----------
    name : of one, in words.
    seconds : its length.
    """

    name: str
    seconds: float

    @property
    def several(self) -> str:
        """The name of several."""
        return f"{self.name}s"

    def of_hours(self, hours: float | None) -> float | None:
        """Return a time in this unit; None where it is not known."""
        return None if hours is None else hours * 3600.0 / self.seconds


HOURS = TimeUnit("hour", 3600.0)
_UNITS = (HOURS, TimeUnit("minute", 60.0), TimeUnit("second", 1.0))


def time_unit(step_s: float) -> TimeUnit:
    """Return the unit for times of steps of `step_s` seconds; hours where that is 0, not known."""
    if not step_s > 0:
        return HOURS
    return next((unit for unit in _UNITS if step_s >= unit.seconds), _UNITS[-1])


def defined(figures: Mapping[str, Any], scored: bool) -> dict[str, Any]:
    """Return those of a model's stored figures that are defined, S only where it is."""
    return {k: v for k, v in figures.items() if scored or k not in _SCORES}


@dataclass(frozen=True, slots=True)
class Measures:
    """How the figures of a data set are told.

    Parameters
    ----------
    unit : of times.
    scored : whether S is defined.
    """

    unit: TimeUnit = HOURS
    scored: bool = True

    def figures(self, *keys: str) -> tuple[Figure, ...]:
        """Return the figures with these keys that are defined, times in the unit."""
        kept = [key for key in keys if self.scored or key not in _SCORES]
        return tuple(self.told(FIGURES[key]) for key in kept)

    def told(self, figure: Figure) -> Figure:
        """Return a figure in the unit."""
        if figure.key != "hours_to_detection" or self.unit == HOURS:
            return figure
        return replace(
            figure,
            title=f"{self.unit.several} to detection",
            name=f"{self.unit.several} to detection, mean",
            scale=3600.0 / self.unit.seconds,
        )


def measures_of(scored: bool, step_s: float) -> Measures:
    """Return how figures over steps of `step_s` seconds are told, S among them where defined."""
    return Measures(time_unit(step_s), scored)


def step_seconds(alarms: pd.DataFrame) -> float:
    """Return the time step of a table of alarms in s: the median within instances; 0 of none."""
    table = alarms[["instance"]].assign(time=alarms["time"].astype("datetime64[ns]"))
    gaps = table.groupby("instance", sort=False)["time"].diff().dropna()
    return float(gaps.dt.total_seconds().median()) if len(gaps) else 0.0
