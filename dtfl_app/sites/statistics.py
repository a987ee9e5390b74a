"""What a feature says of the readings in a window, missing ones among them; plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATISTICS"]


def _last(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return samples[:, -1]


def _mean(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(samples)
    total = np.where(present, samples, 0.0).sum(axis=1)
    count = present.sum(axis=1)
    mean = np.full(len(samples), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _std(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = _mean((samples - _mean(samples)[:, None]) ** 2)
    return np.asarray(np.sqrt(variance))


def _change(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(samples[:, -1] - samples[:, 0])


#: Name -> function of samples, shape (windows, samples per window), to shape (windows,)
STATISTICS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "last": _last,
    "mean": _mean,
    "std": _std,
    "change": _change,
}
