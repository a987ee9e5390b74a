"""Samples of the scores of labelled rows, for models that only their sites have whole.

A site sends, of each group of its labelled rows, the evidence of `MOST_ROWS` at most: the foremost
half row by row, where thresholds lie, and as many that stand evenly among the others. Where no
group is larger than `MOST_ROWS`, nothing is lost by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["GROUPS", "MOST_ROWS", "Judged", "ScoreSample", "sample_scores", "settled_steps"]

FloatArray = NDArray[np.float64]

#: What labelled rows are: abnormal, normal and settled (`settled_steps`), normal
#: but within the settling time of an event.
GROUPS = ("abnormal", "settled", "recovering")
#: Rows of a group whose evidence leaves a site.
MOST_ROWS = 256
_FOREMOST = MOST_ROWS // 2


@dataclass(frozen=True, slots=True, eq=False)
class ScoreSample:
    """Evidence of rows that stand for all rows of a group.

    Parameters
    ----------
    count : rows n of the group, >= 0.
    evidence : shape (m, k) with m = min(n, `MOST_ROWS`), the least abnormal first.
    """

    count: int
    evidence: FloatArray

    @property
    def weights(self) -> FloatArray:
        """How many rows each of them stands for, shape (m,), n in all."""
        found, others = np.ones(len(self.evidence)), MOST_ROWS - _FOREMOST
        if self.count > MOST_ROWS:
            found[:others] = (self.count - _FOREMOST) / others
        return found


#: A sample of each of `GROUPS`; empty where a site has no labelled rows.
Judged = tuple[ScoreSample, ...]


def sample_scores(evidence: FloatArray) -> ScoreSample:
    """Reduce the evidence of n rows, shape (n, k), to a `ScoreSample`.

    A row is as abnormal as the kind of evidence in which it ranks highest among the n.
    """
    ranks = evidence.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    order = ranks.max(axis=1).argsort(kind="stable")
    if len(order) > MOST_ROWS:
        rest, others = len(order) - _FOREMOST, MOST_ROWS - _FOREMOST
        spread = ((np.arange(others) + 0.5) * rest / others).astype(np.intp)
        order = np.concatenate([order[:rest][spread], order[rest:]])
    return ScoreSample(len(evidence), evidence[order])


def settled_steps(
    label: NDArray[np.int8], instance: NDArray[np.str_], settling: int
) -> NDArray[np.bool_]:
    """Tell which of n steps are normal and not among the first `settling` steps after an event.

    A plant takes time to recover from an event. Those steps are labelled normal, but they are not
    the operation that a false-alarm rate promises something about.
    """
    position = np.arange(len(label))
    fresh = np.concatenate([[True], instance[1:] != instance[:-1]])[: len(label)]
    # Step of the last event, forgotten where a new recording begins.
    mark = np.where(label == 1, position, np.where(fresh, -np.inf, np.nan))
    last = pd.Series(mark).ffill().to_numpy()
    settled: NDArray[np.bool_] = (label == 0) & (position - last > settling)
    return settled
