"""FedNova: sites count by how far they would go per step, not by how many steps they take.

Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization",
2020, arXiv 2007.07481, equations 6 to 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.parameters import step
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.rounds.workbench import Workbench

__all__ = ["FedNova", "path_length"]


def path_length(steps: int, momentum: float) -> float:
    """Return ``||a||_1``, how often SGD counts each gradient, summed over `steps` of them.

    ``(tau - rho (1 - rho^tau) / (1 - rho)) / (1 - rho)``; without momentum rho it is tau.
    """
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)


class FedNova(DTFLStrategy):
    """``x <- x + A sum_k p_k (y_k - x_k) / ||a_k||_1``, ``A = sum_k p_k ||a_k||_1``.

    x_k is what site k started from, p_k its weight. Where all take equally many steps it is FedAvg.
    The numbers of steps are what sites say; a reply that claims none counts as one step.
    """

    needs_twin = False

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        super().__init__(name, settings, bench)
        self.require_sgd("it divides by how often SGD counts each gradient")

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Average changes per step, and go as many steps as the sites went on average."""
        momentum = self.bench.config.train.momentum
        lengths = [path_length(max(1, reply.steps), momentum) for reply in replies]
        mean = float(np.average(lengths, weights=self.weights(replies)))
        even = [
            replace(r, params=step(state.model, step(r.base, r.params, 1.0), mean / length))
            for r, length in zip(replies, lengths, strict=True)
        ]
        return State(model=self.mean(even))
