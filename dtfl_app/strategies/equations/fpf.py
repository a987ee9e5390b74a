"""FPF, federated parameter fusion: weights by likeness to the twin's model, and the fusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.settings import setting
from dtfl_app.rounds.parameters import Arrays, blend, cosine

__all__ = ["FPFSettings", "fuse", "similarity_weights"]


@dataclass(frozen=True, slots=True)
class FPFSettings:
    """Settings of FPF; ``gamma = 0`` at a high temperature is FedAvg."""

    group: ClassVar[str] = "fpf"

    gamma: float = setting(0.5, "FPF: share of the twin's model in the fusion", low=0.0, high=1.0)
    temperature: float = setting(
        1.0, "FPF: softmax temperature of the similarities; 1 = the paper", above=0.0
    )


def similarity_weights(
    replies: Sequence[Arrays], twin: Arrays, temperature: float
) -> NDArray[np.float64]:
    """Return ``softmax(cos(Theta_k, Theta_twin) / temperature)``, shape (K,), sum 1.

    `twin` may hold more arrays than the replies.
    """
    logits = np.array([cosine(p, twin) for p in replies]) / temperature  # shape: (K,)
    weights = np.exp(logits - logits.max())
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def fuse(
    replies: Sequence[Arrays],
    twin: Arrays,
    mean: Callable[[Sequence[float]], Arrays],
    gamma: float,
    temperature: float,
) -> Arrays:
    """Return ``gamma * Theta_twin + (1 - gamma) * sum_k w_k Theta_k``.

    Parameters
    ----------
    replies : what is compared with the twin's model, one mapping per reply.
    twin : the twin's model.
    mean : the aggregate of the replies, weighted by these factors.
    gamma, temperature : see `FPFSettings`.
    """
    weights = similarity_weights(replies, twin, temperature)
    return blend(twin, mean(weights.tolist()), gamma)
