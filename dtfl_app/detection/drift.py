"""Whether normal operation still looks like that of the calibration.

If it does, p-values of steps without alarm are uniform on (0, 1]. Over the last N of them, per kind
of evidence, the Kolmogorov-Smirnov distance to that is watched. The sketches leave each p-value a
range; the distance is what no choice within the ranges explains, so that neither their coarseness
nor ties (a contradiction is 0 in most steps) count as drift.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detection.judging import Judge

__all__ = ["DRIFT_LIMIT", "DRIFT_WINDOW", "Drift", "DriftChange"]

#: Steps without alarm that are looked at together; docs/detect.md says how it was found.
DRIFT_WINDOW = 500
#: Distance from which normal operation counts as drifted; measured on a year without attacks.
DRIFT_LIMIT = 0.25
# A drift is over only well below the limit: scores that hover about it are one drift, not many.
_OVER = 0.8


@dataclass(frozen=True, slots=True)
class DriftChange:
    """A drift that begins or is over.

    Parameters
    ----------
    kind : the evidence.
    begins : whether it begins.
    distance : Kolmogorov-Smirnov distance, in [0, 1].
    higher : whether scores are higher than they were in calibration, not lower.
    """

    kind: str
    begins: bool
    distance: float
    higher: bool


class Drift:
    """Watches the scores of steps without alarm.

    Parameters
    ----------
    judge : knows what each cell of scores means.
    kinds : names of the judge's kinds of evidence.
    window : steps N that are looked at together, >= 1.
    limit : distance above which it is a drift, in (0, 1].
    """

    def __init__(
        self,
        judge: Judge,
        kinds: Sequence[str],
        window: int = DRIFT_WINDOW,
        limit: float = DRIFT_LIMIT,
    ) -> None:
        self._judge, self._kinds, self.window, self.limit = judge, tuple(kinds), window, limit
        self._cells: deque[tuple[int, ...]] = deque(maxlen=window)
        self.under_way: set[str] = set()

    def add(self, cells: tuple[int, ...]) -> list[DriftChange]:
        """Take in a step without alarm; return the drifts that begin or end with it.

        `cells` is `Verdict.cells`. Nothing is said before N steps are there.
        """
        self._cells.append(cells)
        if len(self._cells) < self.window:
            return []
        return [change for kind in range(len(self._kinds)) for change in self._look(kind)]

    def distances(self) -> dict[str, float]:
        """Return the distance per kind of evidence over the steps that are there; {} for none."""
        if not self._cells:
            return {}
        return {kind: max(self._distances(column)) for column, kind in enumerate(self._kinds)}

    def memory(self) -> dict[str, Any]:
        """All that later steps depend on, as plain values."""
        return {"cells": list(map(list, self._cells)), "under_way": sorted(self.under_way)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from a `memory`."""
        self._cells = deque(map(tuple, memory["cells"]), maxlen=self.window)
        self.under_way = set(memory["under_way"])

    def _look(self, column: int) -> list[DriftChange]:
        kind, (up, down) = self._kinds[column], self._distances(column)
        distance, known = max(up, down), kind in self.under_way
        if not known and distance > self.limit:
            self.under_way.add(kind)
        elif known and distance < _OVER * self.limit:
            self.under_way.remove(kind)
        else:
            return []
        return [DriftChange(kind, not known, distance, up >= down)]

    def _distances(self, column: int) -> tuple[float, float]:
        """How far scores are higher, and lower, than in calibration."""
        cells = np.array([row[column] for row in self._cells], dtype=np.intp)
        largest, smallest = self._judge.p_range(column, cells)
        return _excess(np.sort(largest)), _lack(np.sort(smallest))


def _excess(p: NDArray[np.float64]) -> float:
    """sup F(x) - x of the empirical F of sorted p-values: too many are small."""
    ranks = np.arange(1, len(p) + 1) / len(p)
    return float(max(np.max(ranks - p), 0.0))


def _lack(p: NDArray[np.float64]) -> float:
    """sup x - F(x) just below each p-value: too few are small."""
    ranks = np.arange(len(p)) / len(p)
    return float(max(np.max(p - ranks), 0.0))
