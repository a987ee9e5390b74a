"""DTML, digital twin-based meta-learning, for any Flower app.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtfl_app.flower.strategy import SiteReply, TwinStrategy
from dtfl_app.rounds.parameters import Arrays
from dtfl_app.strategies.equations.dtml import DTMLSettings, meta_update

__all__ = ["DTML"]


class DTML(TwinStrategy):
    """The aggregate goes down the gradient of the twin's loss; buffers stay as they are.

    Settings: `lr` >= 0, `steps` >= 0, `batch` >= 1 (rows per gradient, in whole batches).
    """

    Settings = DTMLSettings

    def update(self, replies: Sequence[SiteReply]) -> Arrays:
        """Meta-update the mean of the replies on twin data."""
        s = self.settings
        return meta_update(
            self.mean(replies), lambda params: self.twin.gradient(params, s.batch), s.lr, s.steps
        )
