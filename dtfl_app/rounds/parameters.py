"""Arithmetic on model parameters: dictionaries of equally shaped float32 arrays.

Sums run in float64 over replies in a fixed order, so results do not depend on who answered first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detector.models import Params

__all__ = ["blend", "cosine", "flat", "step", "weighted_mean"]


def weighted_mean(params: Sequence[Params], weights: Sequence[float] | None = None) -> Params:
    """Return ``sum_k w_k Theta_k / sum_k w_k``; equal weights when none are given.

    Keys are those of the first element; all must have them. Weights are >= 0 with a sum above 0.
    """
    w = np.full(len(params), 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    return {
        key: np.add.reduce([w[k] * p[key].astype(np.float64) for k, p in enumerate(params)]).astype(
            np.float32
        )
        for key in params[0]
    }


def blend(first: Params, second: Params, share: float) -> Params:
    """Return ``share * first + (1 - share) * second`` for share in [0, 1]."""
    return weighted_mean([first, second], [share, 1.0 - share])


def step(params: Params, direction: Params, size: float) -> Params:
    """Return ``params - size * direction``: one step of gradient descent."""
    return {k: (v - size * direction[k]).astype(np.float32) for k, v in params.items()}


def flat(params: Params) -> NDArray[np.float64]:
    """Concatenate all parameters to one vector, in key order as given."""
    parts = [v.ravel().astype(np.float64) for v in params.values()]
    return np.concatenate(parts) if parts else np.zeros(0)


def cosine(first: Params, second: Params) -> float:
    """Cosine similarity over the whole parameter vectors, in [-1, 1]; 0 if one of them is zero."""
    a, b = flat(first), flat({k: second[k] for k in first})
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0
