"""FedAvg: the mean of the sites' models. The paper's only baseline; needs no twin.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["FedAvg"]


class FedAvg(DTFLStrategy):
    """``Theta^(t+1) = (1/K) sum_k Theta_k``."""

    needs_twin = False

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Average the replies."""
        return State(model=self.mean(replies))
