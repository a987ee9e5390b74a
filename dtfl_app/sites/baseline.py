"""Each recording standardised by its own beginning, for machines that run at points of their own.

Rigs, wells and pumps of one kind run at other speeds, loads and pressures, so what is normal at one
is far out at another, and a scaling that a federation agrees on fits none of them. The first N time
steps of a recording, taken as normal, are its baseline: later features are counted in its standard
deviations from its mean. Nothing of it leaves the site, and a gateway needs no more than N steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.sites.scaling import ACCURACY

__all__ = ["Baseline", "RunningBaseline", "standardised"]

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Mean and scale of the first steps of a recording.

    Parameters
    ----------
    mean : shape (d,), float64, in the features' units; NaN where none of the steps has a reading.
    scale : shape (d,), float64, > 0: the standard deviation, but never below ``ACCURACY`` of the
        feature's span.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, steps: Features, spans: NDArray[np.float64]) -> Baseline:
        """Take the baseline from `steps`, shape (n, d), NaN = missing.

        `spans` is the width of each feature's range (``features.feature_spans``), shape (d,).
        """
        exact = steps.astype(np.float64)
        present = ~np.isnan(exact)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, exact, 0.0).sum(axis=0) / count
        squares = np.where(present, (exact - mean) ** 2, 0.0).sum(axis=0) / count
        none = ~present.any(axis=0)
        return cls(np.where(none, np.nan, mean), np.maximum(np.sqrt(squares), ACCURACY * spans))

    def apply(self, steps: Features) -> Features:
        """Standardise `steps`, shape (n, d) or (d,); a feature without a baseline is missing."""
        return np.asarray((steps.astype(np.float64) - self.mean) / self.scale, dtype=np.float32)

    def undo(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inverse of `apply`, up to rounding."""
        return steps * self.scale + self.mean


def standardised(
    steps: Features, instance: NDArray[Any], spans: NDArray[np.float64], least: int
) -> tuple[Features, NDArray[np.bool_]]:
    """Standardise the steps of whole recordings, each by its first `least` steps.

    Parameters
    ----------
    steps : features, shape (n, d), in time order within each recording.
    instance : recording of each step, shape (n,); those of one stand together.
    spans : see `Baseline.of`.
    least : steps of a baseline, >= 1.

    Returns
    -------
    Standardised steps, shape (n, d), and which of them lie behind their recording's baseline, shape
    (n,): the others, and all of a recording that ends before its baseline does, are none.
    """
    found, behind = np.full(steps.shape, np.nan, dtype=np.float32), np.zeros(len(steps), dtype=bool)
    begins = np.flatnonzero(np.concatenate([[True], instance[1:] != instance[:-1]]))
    for start, end in pairwise([*begins.tolist(), len(steps)]):
        if end - start >= least:
            later = slice(start + least, end)
            own = Baseline.of(steps[start : start + least], spans)
            found[later], behind[later] = own.apply(steps[later]), True
    return found, behind


class RunningBaseline:
    """The same, one step after the other.

    Parameters
    ----------
    spans, least : see `standardised`.
    """

    def __init__(self, spans: NDArray[np.float64], least: int) -> None:
        self._spans, self._least = spans, least
        self.restart()

    def restart(self) -> None:
        """Begin a recording."""
        self._first: list[Features] = []
        self.baseline: Baseline | None = None

    def step(self, features: Features) -> Features | None:
        """Take in a step, shape (d,); return it standardised, None while the baseline is taken."""
        if self.baseline is not None:
            return self.baseline.apply(features)
        self._first.append(features)
        if len(self._first) == self._least:
            self.baseline = Baseline.of(np.stack(self._first), self._spans)
        return None

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, as plain values."""
        return {"first": [row.tolist() for row in self._first]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.restart()
        for row in state["first"]:
            self.step(np.array(row, dtype=np.float32))
