"""Arithmetic on model parameters: dictionaries of equally shaped arrays.

Sums run in float64 over replies in a fixed order, so results do not depend on who answered first;
each array keeps its dtype. Ours are float32 throughout. Other models hold integers too, such as a
batch normalisation's counter of batches: those cannot be averaged, so the largest stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "blend", "cosine", "flat", "step", "weighted_mean"]

Arrays = dict[str, NDArray[Any]]


def weighted_mean(params: Sequence[Arrays], weights: Sequence[float] | None = None) -> Arrays:
    """Return ``sum_k w_k Theta_k / sum_k w_k``; equal weights when none are given.

    Keys are those of the first element; all must have them. Weights are >= 0 with a sum above 0.
    Of integers and flags it is the largest with a weight above 0.
    """
    w = np.full(len(params), 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    return {key: _mean([p[key] for p in params], w) for key in params[0]}


def blend(first: Arrays, second: Arrays, share: float) -> Arrays:
    """Return ``share * first + (1 - share) * second`` for share in [0, 1]."""
    return weighted_mean([first, second], [share, 1.0 - share])


def step(params: Arrays, direction: Arrays, size: float) -> Arrays:
    """Return ``params - size * direction``: one step of gradient descent."""
    return {k: np.asarray(v - size * direction[k]).astype(v.dtype) for k, v in params.items()}


def flat(params: Arrays) -> NDArray[np.float64]:
    """Concatenate all parameters to one vector, in key order as given."""
    parts = [v.ravel().astype(np.float64) for v in params.values()]
    return np.concatenate(parts) if parts else np.zeros(0)


def cosine(first: Arrays, second: Arrays) -> float:
    """Cosine similarity over the whole parameter vectors, in [-1, 1]; 0 if one of them is zero."""
    a, b = flat(first), flat({k: second[k] for k in first})
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0


def _mean(arrays: Sequence[NDArray[Any]], weights: NDArray[np.float64]) -> NDArray[Any]:
    kind = arrays[0].dtype
    if not np.issubdtype(kind, np.floating):
        return np.asarray(np.maximum.reduce([a for a, w in zip(arrays, weights, strict=True) if w]))
    total = np.add.reduce([w * a.astype(np.float64) for a, w in zip(arrays, weights, strict=True)])
    return np.asarray(total).astype(kind)
