"""FPF, federated parameter fusion: replies weigh by their likeness to the twin's model.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.settings import setting
from dtfl_app.detector.models import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.parameters import blend, cosine
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["FPF", "FPFSettings", "similarity_weights"]


@dataclass(frozen=True, slots=True)
class FPFSettings:
    """Settings of FPF; ``gamma = 0`` at a high temperature is FedAvg."""

    group: ClassVar[str] = "fpf"

    gamma: float = setting(0.5, "FPF: share of the twin's model in the fusion", low=0.0, high=1.0)
    temperature: float = setting(
        1.0, "FPF: softmax temperature of the similarities; 1 = the paper", above=0.0
    )


def similarity_weights(
    replies: Sequence[Params], twin: Params, temperature: float
) -> NDArray[np.float64]:
    """Return ``softmax(cos(Theta_k, Theta_twin) / temperature)``, shape (K,), sum 1."""
    logits = np.array([cosine(p, twin) for p in replies]) / temperature  # shape: (K,)
    weights = np.exp(logits - logits.max())
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


class FPF(DTFLStrategy):
    """Fuses the replies with the twin's model, trained from the round's global model."""

    Settings = FPFSettings
    settings: FPFSettings

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Return ``gamma * Theta_twin + (1 - gamma) * sum_k w_k Theta_k``."""
        twin, s = self.twin.train(state.model), self.settings
        weights = similarity_weights([r.params for r in replies], twin, s.temperature)
        return State(model=blend(twin, self.mean(replies, list(weights)), s.gamma))
