"""Thresholds and p-values of single steps: the calibration's answers, looked up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detector.calibration import (
    SKETCH_LEVELS,
    Calibration,
    Sketch,
    bonferroni,
    over_thresholds,
    pooled_p_values,
)

__all__ = ["ThresholdTable", "Verdict"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the calibration says of one step, as `detector.calibration.Alarm` does of many.

    Parameters
    ----------
    score, threshold, p_value : as of an `Alarm`.
    foremost : index of the evidence that stands out most over its threshold.
    cells : per kind of evidence, between which pooled calibration scores the step's lies.
    """

    score: float
    threshold: float
    p_value: float
    foremost: int
    cells: tuple[int, ...]

    @property
    def alarm(self) -> bool:
        """Whether the step raises an alarm."""
        return self.score > self.threshold


class ThresholdTable:
    """Judges steps as `Calibration.judge` does.

    Between two neighbouring calibration scores, of whatever site, a p-value does not change: one
    search finds the cell, and what the cell means was computed before.

    Parameters
    ----------
    calibration : the sites' sketches.
    rate : wanted false-alarm rate.
    """

    def __init__(self, calibration: Calibration, rate: float) -> None:
        self._thresholds = calibration.thresholds(rate)
        sketches = [calibration.sketches(kind) for kind in range(calibration.kinds)]
        self._edges = [_edges(one) for one in sketches]
        # The highest score of each cell.
        tops = [np.append(edges, np.inf) for edges in self._edges]
        self._p = [pooled_p_values(s, t) for s, t in zip(sketches, tops, strict=True)]
        self._least = [_least_p(s, t) for s, t in zip(sketches, tops, strict=True)]

    def verdict(self, evidence: Floats) -> Verdict:
        """Judge one step's evidence, shape (k,)."""
        cells = tuple(
            int(np.searchsorted(edges, value, side="left"))
            for edges, value in zip(self._edges, evidence, strict=True)
        )
        p_values = [p[cell] for p, cell in zip(self._p, cells, strict=True)]
        score, threshold, foremost = over_thresholds(evidence, self._thresholds)
        p_value = float(bonferroni(np.array(p_values)))
        return Verdict(float(score), threshold, p_value, int(foremost), cells)

    def p_range(self, kind: int, cells: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Return the largest and the smallest p-value that the sketches leave open, per cell."""
        return self._p[kind][cells], self._least[kind][cells]


def _edges(sketches: list[Sketch]) -> Floats:
    """All sites' sketched scores of one kind, ascending; they bound the cells."""
    filled = [sketch.values for sketch in sketches if sketch.mass]
    return np.unique(np.concatenate(filled)) if filled else np.zeros(0)


def _least_p(sketches: list[Sketch], tops: Floats) -> Floats:
    """Smallest p-value of each cell: only scores that must lie above it are counted; (cells,)."""
    filled = [sketch for sketch in sketches if sketch.mass]
    total = sum(sketch.mass for sketch in filled)
    if not total:
        return np.ones(len(tops))
    at_most = sum(_most_at_most(sketch, tops) for sketch in filled)
    return np.asarray((total - at_most) / (total + 1.0))


def _most_at_most(sketch: Sketch, points: Floats) -> Floats:
    """Largest mass of a site's scores that may be <= each point.

    The sketch's value at level q is the score of rank ceil(q (n - 1)), from 0: where it is above a
    point, no more scores than that rank are not.
    """
    ranks = np.ceil((sketch.count - 1) * SKETCH_LEVELS)
    most: Floats = np.concatenate([ranks, [float(sketch.count)]])
    most *= sketch.mass / sketch.count
    return most[np.searchsorted(sketch.values, points, side="right")]
