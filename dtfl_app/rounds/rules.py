"""Rules that make one model of a round's replies: ours, and what one of somebody's own is.

Trimmed mean and median: Yin et al., ICML 2018. Krum and multi-Krum: Blanchard et al., NeurIPS 2017.
With equal weights the rules give what Flower's strategies of these names give. Arithmetic is in
float64: Flower's Krum takes squared distances from float32 inner products of whole models, and once
updates are a thousandth of the weights, what is left of them is rounding.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, combinations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.registry import NoOptions, Registry, read_options, refuse_options
from dtfl_app.core.sections import TrustSettings
from dtfl_app.detector.params import Params
from dtfl_app.rounds.parameters import flat, weighted_mean

__all__ = ["RULES", "Rule", "krum_order", "rule_of"]

FloatArray = NDArray[np.float64]

# Far above what sums of weights and products of shares lose, far below any weight that counts.
_ROUNDING = 1e-9


class Rule(ABC):
    """How replies become one model, by the setting `trust.aggregation`.

    Parameters
    ----------
    options : an instance of the class's `Options`, a frozen dataclass of `core.settings.setting`
        fields that `trust.options` fills; of ours the trust settings themselves.
    """

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - of the class's `Options`
        self.options = options

    @abstractmethod
    def merge(self, replies: Sequence[Params], weights: Sequence[float]) -> Params:
        """Return the layers of one model, float32; the same for the same replies.

        Parameters
        ----------
        replies : each site's layers, sorted by site, one at least; all have the keys of the first,
            perhaps none. They must not be changed.
        weights : how much each counts, > 0.
        """

    def shortfall(self, replies: int) -> str | None:
        """Say what the rule lacks with so few replies, and what stands in; None if nothing."""
        return None


class Mean(Rule):
    """The weighted mean."""

    def merge(self, replies: Sequence[Params], weights: Sequence[float]) -> Params:
        """Return ``sum w_k Theta_k / sum w_k``."""
        return weighted_mean(replies, weights)


class Median(Rule):
    """The weighted median, value by value."""

    def merge(self, replies: Sequence[Params], weights: Sequence[float]) -> Params:
        """Return the middle of each value's ranks."""
        return _per_value(replies, weights, _median)

    def shortfall(self, replies: int) -> str | None:
        """Of two replies it is no more than the mean."""
        return f"the median of {replies} replies is their mean" if replies < 3 else None


class TrimmedMean(Rule):
    """The mean without the share ``trust.trim`` of replies at either end, value by value."""

    def merge(self, replies: Sequence[Params], weights: Sequence[float]) -> Params:
        """Return the mean of what is left; of all, where the share is less than one reply."""
        trimmed = _share_of(len(replies), self.options.trim)
        if not trimmed:
            return weighted_mean(replies, weights)
        return _per_value(replies, weights, partial(_trimmed_mean, share=trimmed / len(replies)))

    def shortfall(self, replies: int) -> str | None:
        """Of few replies none may be left out."""
        return _none_left_out("trimmed-mean", replies, self.options.trim)


class MultiKrum(Rule):
    """The mean of the replies closest to others, all but ``trust.malicious`` of them."""

    name: ClassVar[str] = "multi-krum"

    def merge(self, replies: Sequence[Params], weights: Sequence[float]) -> Params:
        """Return the weighted mean of the chosen, or the median of replies that are too few."""
        malicious = _share_of(len(replies), self.options.malicious)
        if not _enough_for_krum(len(replies), malicious):
            return _per_value(replies, weights, _median)
        chosen = sorted(krum_order(replies, malicious)[: self._count(len(replies), malicious)])
        return weighted_mean([replies[i] for i in chosen], [weights[i] for i in chosen])

    def shortfall(self, replies: int) -> str | None:
        """It needs ``2 f + 3`` replies to withstand f."""
        malicious = _share_of(replies, self.options.malicious)
        if not _enough_for_krum(replies, malicious):
            return (
                f"{self.name} needs {2 * malicious + 3} replies to withstand {malicious} "
                f"malicious, and has {replies}; the median stands in"
            )
        return _none_left_out(self.name, replies, self.options.malicious)

    def _count(self, replies: int, malicious: int) -> int:
        """How many replies make the model."""
        return replies - malicious


class Krum(MultiKrum):
    """The one reply that is closest to others."""

    name: ClassVar[str] = "krum"

    def _count(self, replies: int, malicious: int) -> int:
        return 1


def _is_rule(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Rule)


#: What the setting `trust.aggregation` can name.
RULES = Registry(
    "trust.aggregation",
    "a subclass of dtfl_app.rounds.rules.Rule",
    {
        "mean": "dtfl_app.rounds.rules:Mean",
        "trimmed-mean": "dtfl_app.rounds.rules:TrimmedMean",
        "median": "dtfl_app.rounds.rules:Median",
        "krum": "dtfl_app.rounds.rules:Krum",
        "multi-krum": "dtfl_app.rounds.rules:MultiKrum",
    },
    "dtfl.rules",
    _is_rule,
)


def rule_of(settings: TrustSettings) -> Rule:
    """Build the rule that the settings name; ConfigError for none, or options it has not."""
    name, key = settings.aggregation, "trust.options"
    found: type[Rule] = RULES.find(name)
    if name not in RULES.built_in:
        return found(read_options(found.Options, key, settings.options))
    refuse_options(key, settings.options, f"{name!r} has none but trust.trim and trust.malicious")
    return found(settings)


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


def _none_left_out(rule: str, replies: int, share: float) -> str | None:
    if not share or _share_of(replies, share):
        return None
    return f"{rule}: a share of {share:g} of {replies} replies is none, so none is left out"


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
