"""CWA, cyclic weight adaptation: sites and twin swap their models every round.

Belay et al., arXiv 2601.01701. The printed indices allow two readings; both are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.strategies.equations.cwa import CWASettings, swap

__all__ = ["CWA", "CWASettings"]


class CWA(DTFLStrategy):
    """The twin restarts from the sites' aggregate, the sites restart from the twin's model.

    sequential: aggregate, train the aggregate on twin data, broadcast.
    parallel: sites get what the twin trained, in this round, from last round's aggregate.
    """

    Settings = CWASettings
    settings: CWASettings

    def prepare(self, state: State) -> State:
        """Let the twin's copy start from the sites' initial model."""
        return replace(state, twin=state.model)

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Swap the two copies."""
        assert state.twin is not None
        train, schedule = self.twin.train, self.settings.schedule
        return State(*swap(self.mean(replies), state.twin, train, schedule))
