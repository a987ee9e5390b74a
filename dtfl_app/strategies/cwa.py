"""CWA, cyclic weight adaptation: sites and twin swap their models every round.

Belay et al., arXiv 2601.01701. The printed indices allow two readings; both are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from dtfl_app.core.settings import setting
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["CWA", "CWASettings"]


@dataclass(frozen=True, slots=True)
class CWASettings:
    """Settings of CWA; ``twin.steps = 0`` with the sequential schedule is FedAvg."""

    group: ClassVar[str] = "cwa"

    schedule: str = setting(
        "sequential", "CWA: which reading of the swap", choices=("sequential", "parallel")
    )


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
        aggregate = self.mean(replies)
        if self.settings.schedule == "sequential":
            return State(model=self.twin.train(aggregate), twin=aggregate)
        assert state.twin is not None
        return State(model=self.twin.train(state.twin), twin=aggregate)
