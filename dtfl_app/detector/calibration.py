"""A threshold for a stated false-alarm rate, from scores of data that was not trained on.

Split conformal prediction (Vovk 2005; Angelopoulos and Bates 2023): with n exchangeable normal
scores, a new normal score exceeds the ceil((n + 1)(1 - alpha))-th smallest with probability at
most alpha. Sites do not send their scores but a sketch: a fixed number of order statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SKETCH_LEVELS", "Sketch", "conformal_threshold", "pooled_threshold", "sketch_scores"]

# Dense where thresholds lie: false-alarm rates from 10% to 0.05%.
SKETCH_LEVELS: NDArray[np.float64] = np.concatenate(
    [np.linspace(0.0, 0.9, 10), 1.0 - np.geomspace(0.08, 0.0005, 21), [1.0]]
)


@dataclass(frozen=True, slots=True)
class Sketch:
    """Order statistics of one site's calibration scores.

    Parameters
    ----------
    count : number of scores behind the sketch.
    values : the scores at `SKETCH_LEVELS`, ascending; shape (32,). Empty when count is 0.
    """

    count: int
    values: NDArray[np.float64]


def conformal_threshold(scores: NDArray[np.float64], alpha: float) -> float:
    """Return the split-conformal threshold for false-alarm rate `alpha` in (0, 1).

    With fewer than 1/alpha - 1 scores no finite threshold keeps the promise; the largest score
    is returned, whose false-alarm rate is 1/(n + 1). NaN without scores.
    """
    n = len(scores)
    if n == 0:
        return float("nan")
    rank = min(math.ceil((n + 1) * (1.0 - alpha)), n)
    return float(np.partition(scores, rank - 1)[rank - 1])


def sketch_scores(scores: NDArray[np.float64]) -> Sketch:
    """Reduce scores of shape (n,) to a `Sketch`; each value is a real score, never interpolated."""
    if len(scores) == 0:
        return Sketch(0, np.zeros(0))
    return Sketch(len(scores), np.quantile(scores, SKETCH_LEVELS, method="higher"))


def pooled_threshold(sketches: Sequence[Sketch], alpha: float) -> float:
    """Threshold over all sites' scores together, for false-alarm rate `alpha`.

    The pooled distribution function is the mean of the sites', weighted by their counts; each is
    read off its sketch as a step function from above, so the threshold errs on the high side.
    NaN when no site has calibration scores.
    """
    filled = [s for s in sketches if s.count > 0]
    if not filled:
        return float("nan")
    total = sum(s.count for s in filled)
    wanted = min((1.0 - alpha) * (total + 1) / total, 1.0)
    candidates = np.unique(np.concatenate([s.values for s in filled]))
    reached = sum(s.count * _share_at_most(s, candidates) for s in filled) / total
    # 1e-12: the sum of weighted shares may miss 1 by rounding
    return float(candidates[np.flatnonzero(reached >= wanted - 1e-12)[0]])


def _share_at_most(sketch: Sketch, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Guaranteed share of the site's scores that are <= each point."""
    position = np.searchsorted(sketch.values, points, side="right")
    levels = np.concatenate([[0.0], SKETCH_LEVELS])
    return levels[position]
