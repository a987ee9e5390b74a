"""DTML, digital twin-based meta-learning: the aggregate is corrected by the twin's gradient.

Belay et al., arXiv 2601.01701. First order: nothing is differentiated through the sites' steps,
as in FO-MAML with the twin's data as query set.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.strategies.equations.dtml import DTMLSettings, meta_update

__all__ = ["DTML", "DTMLSettings", "meta_update"]


class DTML(DTFLStrategy):
    """``Theta^(t+1) = Theta_agg - b * grad L_twin(Theta_agg)``."""

    Settings = DTMLSettings
    settings: DTMLSettings

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Meta-update the mean of the replies on twin data."""
        s = self.settings
        theta = meta_update(
            self.mean(replies),
            lambda params: self.twin.gradient(params, s.batch),
            s.lr,
            s.steps,
        )
        return State(model=theta)
