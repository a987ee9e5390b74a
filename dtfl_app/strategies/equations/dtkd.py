"""DTKD, digital twin knowledge distillation: who learns from the teacher, and how it travels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.settings import setting
from dtfl_app.messages.quantise import Quantised, quantise
from dtfl_app.rounds.parameters import Arrays

__all__ = ["DTKDSettings", "guide", "packed_teacher"]


@dataclass(frozen=True, slots=True)
class DTKDSettings:
    """Settings of DTKD; ``lambda = 0`` on the client side is FedAvg."""

    group: ClassVar[str] = "dtkd"

    side: str = setting("client", "DTKD: who learns from the teacher", choices=("client", "server"))
    lambda_: float = setting(0.5, "DTKD: weight of the teacher in a site's loss", low=0.0, high=1.0)
    temperature: float = setting(2.0, "DTKD: temperature of soft targets", above=0.0)
    precision: str = setting(
        "float32", "DTKD: how the teacher travels", choices=("float32", "int8")
    )


def guide(
    aggregate: Arrays, teacher: Arrays, distil: Callable[[Arrays, Arrays], Arrays], side: str
) -> Arrays:
    """Return the aggregate, on the server's side after its steps towards the teacher's outputs."""
    return distil(aggregate, teacher) if side == "server" else aggregate


def packed_teacher(teacher: Arrays, precision: str) -> Quantised:
    """Return the teacher as it travels: as it is, or in 8 bits with a scale per array."""
    return quantise(teacher) if precision == "int8" else teacher
