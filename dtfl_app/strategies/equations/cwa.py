"""CWA, cyclic weight adaptation: the swap of the sites' aggregate and the twin's model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.settings import setting
from dtfl_app.rounds.parameters import Arrays

__all__ = ["CWASettings", "swap"]


@dataclass(frozen=True, slots=True)
class CWASettings:
    """Settings of CWA; ``twin.steps = 0`` with the sequential schedule is FedAvg."""

    group: ClassVar[str] = "cwa"

    schedule: str = setting(
        "sequential", "CWA: which reading of the swap", choices=("sequential", "parallel")
    )


def swap(
    aggregate: Arrays, twin: Arrays, train: Callable[[Arrays], Arrays], schedule: str
) -> tuple[Arrays, Arrays]:
    """Return (the sites' next model, the twin's next start).

    Parameters
    ----------
    aggregate : of this round's replies.
    twin : the aggregate of the round before; the initial model in round 1.
    train : steps on twin data.
    schedule : "sequential" trains `aggregate`, "parallel" what the twin holds.
    """
    return train(aggregate if schedule == "sequential" else twin), aggregate
