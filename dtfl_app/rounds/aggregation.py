"""Aggregation rules that withstand some malicious or broken replies.

Trimmed mean and median: Yin et al., ICML 2018. Krum and multi-Krum: Blanchard et al., NeurIPS 2017.
With equal weights the rules give what Flower's strategies of these names give. Arithmetic is in
float64: Flower's Krum takes squared distances from float32 inner products of whole models, and once
updates are a thousandth of the weights, what is left of them is rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, combinations

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import FederationError
from dtfl_app.core.sections import TrustSettings
from dtfl_app.detector.models import Params
from dtfl_app.rounds.norms import typical_norm, update_norm
from dtfl_app.rounds.parameters import flat, weighted_mean

__all__ = ["aggregate", "clip_updates", "krum_order", "shortfall"]

FloatArray = NDArray[np.float64]

_KRUM = ("krum", "multi-krum")
# Far above what sums of weights and products of shares lose, far below any weight that counts.
_ROUNDING = 1e-9


def aggregate(
    replies: Sequence[Params], weights: Sequence[float], settings: TrustSettings
) -> Params:
    """Make one model of the replies by the rule ``settings.aggregation``.

    Parameters
    ----------
    replies : each site's layers, sorted by site; all have the keys of the first.
    weights : how much each counts, >= 0; one of weight 0 takes no part. Krum chooses whatever the
        weights and multi-Krum takes the weighted mean of the chosen.
    settings : the rule, and what it leaves out. With too few replies for the rule it is the one
        that `shortfall` names.

    Raises FederationError when all weights are 0.
    """
    counted = [(reply, weight) for reply, weight in zip(replies, weights, strict=True) if weight]
    if not counted:
        raise FederationError(f"all {len(replies)} replies have weight 0, so there is no aggregate")
    params, w = [reply for reply, _ in counted], [weight for _, weight in counted]
    rule = settings.aggregation
    if rule in _KRUM:
        malicious = _share_of(len(params), settings.malicious)
        if not _enough_for_krum(len(params), malicious):
            return _per_value(params, w, _median)
        chosen = krum_order(params, malicious)[: 1 if rule == "krum" else len(params) - malicious]
        return weighted_mean([params[i] for i in sorted(chosen)], [w[i] for i in sorted(chosen)])
    if rule == "median":
        return _per_value(params, w, _median)
    trimmed = _share_of(len(params), settings.trim) if rule == "trimmed-mean" else 0
    if trimmed:
        return _per_value(params, w, partial(_trimmed_mean, share=trimmed / len(params)))
    return weighted_mean(params, w)


def shortfall(replies: int, settings: TrustSettings) -> str | None:
    """Say what the rule lacks with so few replies of weight, and what stands in; None if nothing.

    Parameters
    ----------
    replies : number of replies with a weight above 0.
    """
    rule = settings.aggregation
    share = {"trimmed-mean": settings.trim}.get(rule, settings.malicious if rule in _KRUM else 0.0)
    count = _share_of(replies, share)
    if rule in _KRUM and not _enough_for_krum(replies, count):
        return (
            f"{rule} needs {2 * count + 3} replies to withstand {count} malicious, and has "
            f"{replies}; the median stands in"
        )
    if share and not count:
        return f"{rule}: a share of {share:g} of {replies} replies is none, so none is left out"
    if rule == "median" and replies < 3:
        return f"the median of {replies} replies is their mean"
    return None


def clip_updates(replies: Sequence[Params], base: Params, factor: float) -> list[Params]:
    """Shorten updates to `factor` times the round's typical norm, their direction kept.

    ``Theta_k <- Theta + min(1, factor m / ||Theta_k - Theta||) (Theta_k - Theta)``, m the median of
    all norms above 0; without any, or with factor 0, nothing is shortened.

    Parameters
    ----------
    replies : each site's layers.
    base : the model that the sites received; may hold more layers.
    factor : >= 0; 0 = none.
    """
    norms = [update_norm(reply, base) for reply in replies]
    limit = factor * typical_norm(norms)
    return [
        _shortened(reply, base, limit / norm) if 0 < limit < norm else reply
        for reply, norm in zip(replies, norms, strict=True)
    ]


def krum_order(replies: Sequence[Params], malicious: int) -> list[int]:
    """Return the places of the replies by their Krum score, the best first.

    ``score_k = sum of the n - f - 2 smallest ||Theta_k - Theta_j||^2 over j != k``, of one at least

    Parameters
    ----------
    replies : each site's layers, n of them.
    malicious : f, how many of them may be malicious.
    """
    vectors = [flat({key: reply[key] for key in replies[0]}) for reply in replies]
    distances = np.full((len(vectors), len(vectors)), math.inf)  # shape: (n, n)
    for i, j in combinations(range(len(vectors)), 2):
        distances[i, j] = distances[j, i] = np.square(vectors[i] - vectors[j]).sum()
    closest = np.sort(distances)[:, : max(1, len(vectors) - malicious - 2)]
    scores = closest.sum(axis=1).tolist()
    return sorted(range(len(scores)), key=scores.__getitem__)


def _share_of(replies: int, share: float) -> int:
    """Whole replies in a share of them; 0.29 of 100 is 29, though less in binary."""
    return math.floor(share * replies + _ROUNDING)


def _enough_for_krum(replies: int, malicious: int) -> bool:
    return replies >= 2 * malicious + 3


def _shortened(reply: Params, base: Params, share: float) -> Params:
    return {
        key: (base[key] + share * (value.astype(np.float64) - base[key])).astype(np.float32)
        for key, value in reply.items()
    }


def _per_value(
    replies: Sequence[Params],
    weights: Sequence[float],
    rule: Callable[[FloatArray, FloatArray], FloatArray],
) -> Params:
    """Apply a rule to each parameter's values in ascending order and where their weights end."""
    w = np.asarray(weights, dtype=np.float64)  # shape: (n,)
    out: Params = {}
    for key, first in replies[0].items():
        values = np.stack([reply[key].ravel() for reply in replies])  # shape: (n, d)
        order = np.argsort(values, axis=0)
        ranked = np.take_along_axis(values, order, axis=0).astype(np.float64)
        ends = np.stack(list(accumulate(w[order])))  # ten times as fast as np.cumsum
        out[key] = rule(ranked, ends).astype(np.float32).reshape(first.shape)
    return out


def _median(values: FloatArray, ends: FloatArray) -> FloatArray:
    """Mean of the smallest values up to which at least, and more than, half of all weight lies."""
    half = ends[-1] / 2
    slack = _ROUNDING * half  # so that half of all weight is half of it in any order of summation
    lower, upper = (ends < half - slack).sum(axis=0), (ends <= half + slack).sum(axis=0)
    columns = np.arange(values.shape[1])
    middle: FloatArray = (values[lower, columns] + values[upper, columns]) / 2
    return middle


def _trimmed_mean(values: FloatArray, ends: FloatArray, share: float) -> FloatArray:
    """Mean of the weight that is left when `share` of all is cut off at each end."""
    low, high = share * ends[-1], (1 - share) * ends[-1]
    kept = np.diff(np.clip(ends, low, high), axis=0, prepend=low[None])
    mean: FloatArray = (values * kept).sum(axis=0) / kept.sum(axis=0)
    return mean
