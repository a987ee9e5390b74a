"""Kinds of evidence against a time step: what the model misses, and laws of physics it breaks.

Which kinds a detector weighs is the setting `evidence`. The model's residual of this step alone
("instant") finds abrupt events without delay, its mean over past steps ("smoothed") lasting weak
ones; physical evidence ("plc", "pump", "balance") needs no training at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError

__all__ = ["KINDS", "PHYSICAL", "PhysicalEvidence", "evidence_floors", "evidence_kinds"]

FloatArray = NDArray[np.float64]

#: Kind -> smallest threshold. A model's score has no unit and no known accuracy; physical evidence
#: has: 1 cm of level, 10 cm of head, a tenth of a standard deviation.
KINDS: Mapping[str, float] = {
    "instant": -math.inf,
    "smoothed": -math.inf,
    "plc": 0.01,
    "pump": 0.1,
    "balance": 0.1,
}
#: Kinds that a physical model of the site gives.
PHYSICAL: tuple[str, ...] = ("plc", "pump", "balance")


@dataclass(frozen=True, slots=True, eq=False)
class PhysicalEvidence:
    """How far n time steps are from obeying one law.

    Parameters
    ----------
    per_channel : shape (n, c), >= 0, in the law's unit.
    channels : the c channels to look at first.
    """

    per_channel: FloatArray
    channels: tuple[str, ...]

    @property
    def total(self) -> FloatArray:
        """The channel that is furthest off, shape (n,)."""
        return np.asarray(self.per_channel.max(axis=1))


def evidence_kinds(setting: str) -> tuple[str, ...]:
    """Read the setting `evidence`: kinds separated by commas; ConfigError for any other."""
    kinds = tuple(part.strip() for part in setting.split(",") if part.strip())
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
        raise ConfigError(
            f"run config: detector.evidence = {setting!r}; expected one or more, each once, of "
            f"{', '.join(KINDS)}"
        )
    return kinds


def evidence_floors(kinds: Sequence[str]) -> FloatArray:
    """Smallest threshold of each kind, shape (k,)."""
    return np.array([KINDS[kind] for kind in kinds])
