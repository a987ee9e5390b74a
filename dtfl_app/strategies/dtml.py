"""DTML, digital twin-based meta-learning: the aggregate is corrected by the twin's gradient.

Belay et al., arXiv 2601.01701. First order: nothing is differentiated through the sites' steps,
as in FO-MAML with the twin's data as query set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.settings import setting
from dtfl_app.detector.models import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.parameters import step
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["DTML", "DTMLSettings", "meta_update"]


@dataclass(frozen=True, slots=True)
class DTMLSettings:
    """Settings of DTML; ``lr = 0`` is FedAvg."""

    group: ClassVar[str] = "dtml"

    lr: float = setting(1.0, "DTML: step size b on the twin's gradient", low=0.0)
    steps: int = setting(50, "DTML: gradient steps per round; 1 = the paper", low=0)
    batch: int = setting(1024, "DTML: twin rows per gradient", low=1)


def meta_update(
    aggregate: Params, gradient: Callable[[Params], Params], lr: float, steps: int
) -> Params:
    """Return ``Theta - lr * grad L_twin(Theta)``, `steps` times, from ``Theta = aggregate``."""
    theta = aggregate
    for _ in range(steps):
        theta = step(theta, gradient(theta), lr)
    return theta


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
