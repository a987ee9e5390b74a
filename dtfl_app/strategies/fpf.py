"""FPF, federated parameter fusion: replies weigh by their likeness to the twin's model.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.strategies.equations.fpf import FPFSettings, fuse, similarity_weights

__all__ = ["FPF", "FPFSettings", "similarity_weights"]


class FPF(DTFLStrategy):
    """Fuses the replies with the twin's model, trained from the round's global model."""

    Settings = FPFSettings
    settings: FPFSettings

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Return ``gamma * Theta_twin + (1 - gamma) * sum_k w_k Theta_k``."""
        twin, s = self.twin.train(state.model), self.settings
        told, mean = [r.params for r in replies], partial(self.mean, replies)
        return State(model=fuse(told, twin, mean, s.gamma, s.temperature))
