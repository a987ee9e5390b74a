"""Whether normal operation still looks like that of the calibration.

If it does, p-values of steps without alarm are uniform on (0, 1]. Over the last N of them, per kind
of evidence, the Kolmogorov-Smirnov distance to that is watched. The sketches leave each p-value a
range; the distance is what no choice within the ranges explains, so that neither their coarseness
nor ties (a contradiction is 0 in most steps) count as drift. Where most of the last N steps raise
an alarm there is no normal operation left to look at, and that is said instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detection.threshold_table import ThresholdTable

__all__ = ["ALARMS", "DRIFT_LIMIT", "DRIFT_WINDOW", "Drift", "DriftChange"]

#: Steps without alarm that are looked at together; docs/detect.md says how it was found.
DRIFT_WINDOW = 500
#: Distance from which normal operation counts as drifted; measured on a year without attacks.
DRIFT_LIMIT = 0.2
#: What drifts where it is not the scores of one kind of evidence.
ALARMS = "alarms"
# Share of the last N steps; with an hour a step that is longer than any attack of the benchmark.
_MOST = 0.5
# A drift is over only well below the limit: scores that hover about it are one drift, not many.
_OVER = 0.8


@dataclass(frozen=True, slots=True)
class DriftChange:
    """A drift that begins or is over.

    Parameters
    ----------
    kind : the evidence, or `ALARMS`.
    begins : whether it begins.
    distance : Kolmogorov-Smirnov distance or, of alarms, their share of the steps; in [0, 1].
    limit : distance above which it is a drift.
    higher : whether scores are higher than they were in calibration, not lower.
    """

    kind: str
    begins: bool
    distance: float
    limit: float
    higher: bool


class Drift:
    """Watches the scores of steps without alarm, and how many steps are none.

    Parameters
    ----------
    thresholds : knows what each cell of scores means.
    kinds : names of its kinds of evidence.
    window : steps N that are looked at together, >= 1.
    limit : distance above which it is a drift, in (0, 1].
    """

    def __init__(
        self,
        thresholds: ThresholdTable,
        kinds: Sequence[str],
        window: int = DRIFT_WINDOW,
        limit: float = DRIFT_LIMIT,
    ) -> None:
        self._thresholds, self._kinds = thresholds, tuple(kinds)
        self.window, self.limit = window, limit
        self._cells: deque[tuple[int, ...]] = deque(maxlen=window)
        self._alarms: deque[bool] = deque(maxlen=window)
        self.under_way: set[str] = set()

    def add(self, alarm: bool, cells: tuple[int, ...]) -> list[DriftChange]:
        """Take in a step, whether it has an alarm, and its cells; return drifts begun or over.

        Nothing is said of alarms before N steps are there, and of scores before N without alarm.
        """
        self._alarms.append(alarm)
        found = []
        if len(self._alarms) == self.window:
            found += self._change(ALARMS, float(np.mean(self._alarms)), _MOST, higher=True)
        if alarm:
            return found
        self._cells.append(cells)
        if len(self._cells) == self.window:
            for column, kind in enumerate(self._kinds):
                up, down = self._distances(column)
                found += self._change(kind, max(up, down), self.limit, higher=up >= down)
        return found

    def distances(self) -> dict[str, float]:
        """Return the distance per kind of evidence over the steps that are there; {} for none."""
        if not self._cells:
            return {}
        return {kind: max(self._distances(column)) for column, kind in enumerate(self._kinds)}

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, as plain values."""
        return {
            "cells": list(map(list, self._cells)),
            "alarms": list(map(int, self._alarms)),
            "under_way": sorted(self.under_way),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._cells = deque(map(tuple, state["cells"]), maxlen=self.window)
        self._alarms = deque(map(bool, state["alarms"]), maxlen=self.window)
        self.under_way = set(state["under_way"])

    def _change(
        self, kind: str, distance: float, limit: float, *, higher: bool
    ) -> list[DriftChange]:
        known = kind in self.under_way
        if not known and distance > limit:
            self.under_way.add(kind)
        elif known and distance < _OVER * limit:
            self.under_way.remove(kind)
        else:
            return []
        return [DriftChange(kind, not known, distance, limit, higher)]

    def _distances(self, column: int) -> tuple[float, float]:
        """How far scores are higher, and lower, than in calibration."""
        cells = np.array([row[column] for row in self._cells], dtype=np.intp)
        largest, smallest = self._thresholds.p_range(column, cells)
        return _excess(np.sort(largest)), _lack(np.sort(smallest))


def _excess(p: NDArray[np.float64]) -> float:
    """sup F(x) - x of the empirical F of sorted p-values: too many are small."""
    ranks = np.arange(1, len(p) + 1) / len(p)
    return float(max(np.max(ranks - p), 0.0))


def _lack(p: NDArray[np.float64]) -> float:
    """sup x - F(x) just below each p-value: too few are small."""
    ranks = np.arange(len(p)) / len(p)
    return float(max(np.max(p - ranks), 0.0))
