"""CWA, cyclic weight adaptation, for any Flower app: sites and twin swap their models every round.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtfl_app.flower.strategy import SiteReply, TwinStrategy
from dtfl_app.rounds.parameters import Arrays
from dtfl_app.strategies.equations.cwa import CWASettings, swap

__all__ = ["CWA"]


class CWA(TwinStrategy):
    """The twin restarts from the sites' aggregate, the sites restart from the twin's model.

    Settings: `schedule` ("sequential", "parallel").
    """

    Settings = CWASettings

    def prepare(self) -> None:
        """Let the twin's copy start from the sites' initial model."""
        self._twin = self.model

    def update(self, replies: Sequence[SiteReply]) -> Arrays:
        """Swap the two copies."""
        schedule = self.settings.schedule
        model, self._twin = swap(self.mean(replies), self._twin, self.twin.train, schedule)
        return model
