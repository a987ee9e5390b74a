"""FPF, federated parameter fusion, for any Flower app.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dtfl_app.flower.strategy import SiteReply, TwinStrategy
from dtfl_app.rounds.parameters import Arrays
from dtfl_app.strategies.equations.fpf import FPFSettings, fuse

__all__ = ["FPF"]


class FPF(TwinStrategy):
    """Replies weigh by the likeness of their parameters to the twin's, then both are fused.

    Settings: `gamma` in [0, 1], `temperature` > 0. Buffers are no part of the likeness: a counter
    of batches would outweigh all parameters.
    """

    Settings = FPFSettings

    def update(self, replies: Sequence[SiteReply]) -> Arrays:
        """Fuse the replies with the twin's model, trained from the round's global model."""
        twin, s, names = self.twin.train(self.model), self.settings, self.twin.trainable
        told = [{k: v for k, v in reply.params.items() if k in names} for reply in replies]
        return fuse(told, twin, partial(self.mean, replies), s.gamma, s.temperature)
