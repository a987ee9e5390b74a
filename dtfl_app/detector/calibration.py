"""Thresholds and p-values for a stated false-alarm rate, from scores that were not trained on.

Split conformal prediction (Vovk 2005; Angelopoulos and Bates 2023): with n exchangeable normal
scores, a new normal score exceeds the ceil((n + 1)(1 - alpha))-th smallest with probability at
most alpha. Sites do not send their scores but a sketch: a fixed number of order statistics.

What sites say of themselves may be pooled with bounds: no site counts for more than `MOST_WEIGHT`
times the median site, and scores far beyond those of the sites in the middle are drawn in
(winsorised; Huber, Robust Statistics, 1981). A site's own gateway may weigh its own scores over all
others'.

A detector may look at several kinds of evidence at once. Each has a threshold of its own for its
equal share of alpha (Bonferroni), so that all together keep the promise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MOST_WEIGHT",
    "MUCH",
    "PRIOR_SCORES",
    "SKETCH_LEVELS",
    "Alarm",
    "Calibration",
    "Sketch",
    "bonferroni",
    "conformal_threshold",
    "over_thresholds",
    "pooled_p_values",
    "pooled_threshold",
    "sketch_scores",
]

FloatArray = NDArray[np.float64]

#: Times the median site's number of scores that no site counts for more than.
MOST_WEIGHT = 3.0
#: Scores that a site's own are filled up to by all other sites', where its own threshold is wanted:
#: as many as it takes to tell a false-alarm rate of 0.5%.
PRIOR_SCORES = 200.0

#: Factor beyond the sites in the middle to which a site's scores count, and by which a site that
#: alone moves a threshold is worth telling.
MUCH = 2.0

# Dense where thresholds lie: false-alarm rates from 10% to 0.05%.
SKETCH_LEVELS: NDArray[np.float64] = np.concatenate(
    [np.linspace(0.0, 0.9, 10), 1.0 - np.geomspace(0.08, 0.0005, 21), [1.0]]
)
# Level at which sites are compared: where thresholds lie, and one odd hour in a hundred does not.
_TELLING_LEVEL = 0.99


@dataclass(frozen=True, slots=True)
class Sketch:
    """Order statistics of one site's calibration scores.

    Parameters
    ----------
    count : number of scores behind the sketch.
    values : the scores at `SKETCH_LEVELS`, ascending; shape (32,). Empty when count is 0.
    weight : number of scores that it counts for beside other sites', >= 0; None = `count`.
    """

    count: int
    values: NDArray[np.float64]
    weight: float | None = None

    @property
    def mass(self) -> float:
        """What its scores count for beside those of other sites: their number where not weighed."""
        return float(self.count) if self.weight is None else self.weight


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

    The pooled distribution function is the mean of the sites', weighted by their mass; each is
    read off its sketch as a step function from above, so the threshold errs on the high side.
    NaN when no site has calibration scores.
    """
    filled = [s for s in sketches if s.mass > 0]
    if not filled:
        return float("nan")
    total = sum(s.mass for s in filled)
    wanted = min((1.0 - alpha) * (total + 1) / total, 1.0)
    candidates = np.unique(np.concatenate([s.values for s in filled]))
    reached = sum(s.mass * _share(s, candidates, "right") for s in filled) / total
    # 1e-12: the sum of weighted shares may miss 1 by rounding
    return float(candidates[np.flatnonzero(reached >= wanted - 1e-12)[0]])


def pooled_p_values(sketches: Sequence[Sketch], scores: FloatArray) -> FloatArray:
    """Conformal p-value of each score against all sites' scores together; shape (n,) in and out.

    p = (1 + number of calibration scores >= s) / (N + 1), the number counted from above off the
    sketches: p <= alpha exactly where s is above `pooled_threshold` for an alpha that N scores can
    tell, alpha >= 1 / (N + 1). Ones when no site has calibration scores.
    """
    filled = [s for s in sketches if s.mass > 0]
    total = sum(s.mass for s in filled)
    if not total:
        return np.ones(len(scores))
    below = sum(s.mass * _share(s, scores, "left") for s in filled)
    return np.asarray((1.0 + np.maximum(total - below, 0.0)) / (total + 1.0))


def bonferroni(p_values: FloatArray) -> FloatArray:
    """Combine the p-values of k kinds, shape (k, ...): k times the smallest, at most 1."""
    return np.asarray(np.minimum(len(p_values) * np.min(p_values, axis=0), 1.0))


def over_thresholds(
    evidence: FloatArray, thresholds: FloatArray
) -> tuple[FloatArray, float, NDArray[np.intp]]:
    """Weigh k kinds of evidence, shape (..., k), by their thresholds, shape (k,).

    Returns
    -------
    Score, threshold and foremost kind as of `Alarm`, score and kind of shape (...).
    """
    if len(thresholds) == 1:
        first = np.zeros(evidence.shape[:-1], dtype=np.intp)
        return evidence[..., 0], float(thresholds[0]), first
    # Without calibration scores there is no threshold, and without a threshold no alarm.
    ratio = np.where(np.isnan(thresholds), 0.0, evidence / thresholds)
    return ratio.max(axis=-1), 1.0, ratio.argmax(axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Alarm:
    """What a calibrated detector says of n time steps.

    Parameters
    ----------
    score : higher = more abnormal, shape (n,). With one kind of evidence the evidence itself, with
        several the largest of evidence over threshold.
    threshold : an alarm is a score above it; 1 with several kinds of evidence.
    p_value : conformal p-value, shape (n,), in (0, 1]; with several kinds of evidence the smallest
        times their number.
    foremost : index of the evidence that stands out most over its threshold, shape (n,).
    """

    score: FloatArray
    threshold: float
    p_value: FloatArray
    foremost: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Scores of normal operation at all sites, per kind of evidence.

    Parameters
    ----------
    floors : smallest threshold per kind of evidence, shape (k,), >= 0; below it a reading's own
        accuracy is all that is seen.
    sites : site name -> one sketch per kind of evidence.
    trim : share of the sites at either end, in [0, 0.5], whose scores are drawn in to at most
        `MUCH` times those of the others; up to that share of lying sites move a threshold no
        farther (its breakdown point). 0 = all scores, and their numbers, are taken as they are.
    own : whether a site's own scores weigh more at its own gateway (`at`).
    site : whose gateway this is: its own scores count in full, all others' together for as many as
        it lacks of `PRIOR_SCORES`, one at least; "" = nobody's.
    """

    floors: FloatArray
    sites: Mapping[str, Sequence[Sketch]]
    trim: float = 0.0
    own: bool = False
    site: str = ""

    @property
    def kinds(self) -> int:
        """Number k of kinds of evidence."""
        return len(self.floors)

    def at(self, site: str) -> Calibration:
        """Return the calibration in force at a site; of one that did not calibrate, everybody's."""
        return replace(self, site=site) if self.own and site in self.sites else self

    @property
    def silent(self) -> bool:
        """Whether there is no score, hence no threshold, of any kind of evidence."""
        return all(sketch.count == 0 for kinds in self.sites.values() for sketch in kinds)

    def require_sound(self) -> None:
        """Raise ValueError, naming site and kind, where scores are none that could be compared.

        Counts are whole numbers >= 0, a site's scores of a kind one for each of `SKETCH_LEVELS`,
        finite and ascending, and those of physical laws, which have a floor, >= 0.
        """
        for site, sketches in sorted(self.sites.items()):
            if len(sketches) != self.kinds:
                raise ValueError(
                    f"site {site!r}: {len(sketches)} kinds of scores, not {self.kinds}"
                )
            for kind, (sketch, floor) in enumerate(zip(sketches, self.floors, strict=True)):
                values, levels = sketch.values, len(SKETCH_LEVELS) if sketch.count else 0
                sound = (
                    type(sketch.count) is int
                    and sketch.count >= 0
                    and values.shape == (levels,)
                    and bool(np.isfinite(values).all() and (np.diff(values) >= 0).all())
                    and not (math.isfinite(floor) and bool((values < 0).any()))
                )
                if not sound:
                    raise ValueError(f"site {site!r}, kind {kind + 1}: its scores are impossible")

    def sketches(self, kind: int) -> list[Sketch]:
        """All sites' sketches of one kind of evidence, by site name, bounded and weighted."""
        names = sorted(self.sites)
        found = [self.sites[name][kind] for name in names]
        weights = np.array([float(sketch.count) for sketch in found])
        if self.trim and (filled := [sketch.count for sketch in found if sketch.count]):
            weights = np.minimum(weights, MOST_WEIGHT * float(np.median(filled)))
        bounded = _bounded(found, self.trim)
        if self.site in self.sites:
            own = names.index(self.site)
            weights[own] = 0.0
            lacking = max(PRIOR_SCORES - found[own].count, 1.0)
            weights *= min(lacking / max(weights.sum(), 1.0), 1.0)
            weights[own], bounded[own] = found[own].count, found[own]
        return [replace(s, weight=w) for s, w in zip(bounded, weights.tolist(), strict=True)]

    def thresholds(self, alpha: float) -> FloatArray:
        """Threshold per kind for false-alarm rate `alpha` of all together; shape (k,)."""
        share = alpha / self.kinds
        pooled = [pooled_threshold(self.sketches(kind), share) for kind in range(self.kinds)]
        return np.maximum(pooled, self.floors)

    def moved_by(self, alpha: float) -> dict[str, float]:
        """Return site -> by what factor it alone moves a threshold, where that is `MUCH` or more.

        The factor, >= 1, is of the kind of evidence that it moves most, whichever way.
        """
        thresholds, found = self.thresholds(alpha), {}
        for site in sorted(self.sites) if len(self.sites) > 1 else []:
            others = {name: of for name, of in self.sites.items() if name != site}
            without = replace(self, sites=others).thresholds(alpha)
            both = (thresholds > 0) & (without > 0)
            ratio = thresholds[both] / without[both]
            factor = float(np.maximum(ratio, 1.0 / ratio).max(initial=1.0))
            if factor >= MUCH:
                found[site] = factor
        return found

    def too_few(self, alpha: float) -> list[int]:
        """Kinds with too few scores to tell their share of `alpha`, N < kinds / alpha - 1.

        Their threshold is the largest score: the best there is, but no promise.
        """
        counts = [sum(s.mass for s in self.sketches(kind)) for kind in range(self.kinds)]
        return [kind for kind, count in enumerate(counts) if count < self.kinds / alpha - 1]

    def exceeds(
        self, evidence: FloatArray, alpha: float, sites: NDArray[np.str_] | None = None
    ) -> NDArray[np.bool_]:
        """Tell which of n steps raise an alarm at false-alarm rate `alpha`; evidence (n, k).

        `sites` is whose steps they are, shape (n,), where that counts (`own`).
        """
        if sites is not None and self.own:
            found = np.zeros(len(evidence), dtype=bool)
            for site in np.unique(sites):
                here = sites == site
                found[here] = self.at(str(site)).exceeds(evidence[here], alpha)
            return found
        return np.asarray((evidence > self.thresholds(alpha)).any(axis=1))

    def p_values(self, evidence: FloatArray) -> FloatArray:
        """Conformal p-values of evidence of shape (n, k): k times the smallest, at most 1."""
        each = [pooled_p_values(self.sketches(j), evidence[:, j]) for j in range(self.kinds)]
        return bonferroni(np.array(each))

    def judge(
        self, evidence: FloatArray, alpha: float, sites: NDArray[np.str_] | None = None
    ) -> Alarm:
        """Judge `evidence` of shape (n, k) for false-alarm rate `alpha` in (0, 1).

        `sites` is whose steps they are, shape (n,), where that counts (`own`): scores are then
        shares of each site's own threshold, and the threshold is 1.
        """
        if sites is not None and self.own:
            return self._judge_by_site(evidence, alpha, sites)
        score, threshold, foremost = over_thresholds(evidence, self.thresholds(alpha))
        return Alarm(score, threshold, self.p_values(evidence), foremost)

    def _judge_by_site(self, evidence: FloatArray, alpha: float, sites: NDArray[np.str_]) -> Alarm:
        score, p_value = np.zeros(len(evidence)), np.ones(len(evidence))
        foremost = np.zeros(len(evidence), dtype=np.intp)
        for site in np.unique(sites):
            here = sites == site
            found = self.at(str(site)).judge(evidence[here], alpha)
            # A threshold of 0 is passed by anything above it.
            score[here] = found.score / max(found.threshold, np.finfo(np.float64).tiny)
            p_value[here], foremost[here] = found.p_value, found.foremost
        # Without calibration scores there is no threshold, and no alarm.
        return Alarm(np.nan_to_num(score, nan=0.0), 1.0, p_value, foremost)


def _bounded(sketches: Sequence[Sketch], trim: float) -> list[Sketch]:
    """Draw in the scores that lie beyond `MUCH` times those of the sites in the middle.

    A share `trim` of the sites that have scores is not in the middle at either end, by their score
    at `_TELLING_LEVEL`. Where no more sites than that lie, the bounds are between those that
    honest sites set.
    """
    filled = [sketch for sketch in sketches if sketch.count]
    level = int(np.searchsorted(SKETCH_LEVELS, _TELLING_LEVEL))
    cut = min(int(trim * len(filled)), (len(filled) - 1) // 2)
    if cut <= 0:
        return list(sketches)
    inner = sorted(filled, key=lambda sketch: float(sketch.values[level]))[cut:-cut]
    values = np.array([sketch.values for sketch in inner])
    high, low = values.max(axis=0), values.min(axis=0)
    # Of a logit, which may be below 0, as far beyond it as of a score above 0.
    high, low = high + (MUCH - 1.0) * np.abs(high), low - (1.0 - 1.0 / MUCH) * np.abs(low)
    return [replace(s, values=np.clip(s.values, low, high)) if s.count else s for s in sketches]


def _share(sketch: Sketch, points: FloatArray, side: Literal["left", "right"]) -> FloatArray:
    """Guaranteed share of the site's scores that are < (left) or <= (right) each point."""
    levels: FloatArray = np.concatenate([[0.0], SKETCH_LEVELS])
    return levels[np.searchsorted(sketch.values, points, side)]
