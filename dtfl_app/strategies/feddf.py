"""FedDF, ensemble distillation: the aggregate learns what the round's models say together.

Lin et al., "Ensemble Distillation for Robust Model Fusion in Federated Learning", 2020, arXiv
2006.07242, algorithm 1. The unlabelled data that it asks for are the twin's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.settings import setting
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["FedDF", "FedDFSettings"]


@dataclass(frozen=True, slots=True)
class FedDFSettings:
    """Settings of FedDF; ``steps = 0`` is FedAvg."""

    group: ClassVar[str] = "feddf"

    steps: int = setting(-1, "FedDF: distillation steps per round; -1 = twin.steps", low=-1)


class FedDF(DTFLStrategy):
    """The student starts at ``Theta_agg`` and learns ``sum_k w_k f(x; Theta_k)`` on twin inputs.

    The weights are those of the mean. A rule such as the median makes the aggregate, where the
    student starts, but not the ensemble.
    """

    Settings = FedDFSettings
    settings: FedDFSettings

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Average, then distil the sites' models into the average."""
        steps = None if self.settings.steps < 0 else self.settings.steps
        teachers, weights = [reply.params for reply in replies], self.weights(replies)
        return State(model=self.twin.distil(self.mean(replies), teachers, steps, weights))
