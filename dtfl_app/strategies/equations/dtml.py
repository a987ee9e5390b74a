"""DTML, digital twin-based meta-learning: steps against the gradient of the twin's loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.settings import setting
from dtfl_app.rounds.parameters import Arrays, step

__all__ = ["DTMLSettings", "meta_update"]


@dataclass(frozen=True, slots=True)
class DTMLSettings:
    """Settings of DTML; ``lr = 0`` is FedAvg."""

    group: ClassVar[str] = "dtml"

    lr: float = setting(1.0, "DTML: step size b on the twin's gradient", low=0.0)
    steps: int = setting(50, "DTML: gradient steps per round; 1 = the paper", low=0)
    batch: int = setting(1024, "DTML: twin rows per gradient", low=1)


def meta_update(
    aggregate: Arrays, gradient: Callable[[Arrays], Arrays], lr: float, steps: int
) -> Arrays:
    """Return ``Theta - lr * grad L_twin(Theta)``, `steps` times, from ``Theta = aggregate``."""
    theta = aggregate
    for _ in range(steps):
        theta = step(theta, gradient(theta), lr)
    return theta
