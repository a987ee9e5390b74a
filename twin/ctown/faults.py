"""Faults of the C-Town plant: those of any plant, and one of the network between its PLCs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from twin.base import Event
from twin.ctown.scada import PLC_CHANNELS, PLC_TANKS
from twin.epanet import faults
from twin.epanet.effects import Assets, Choice, Effect, pick

__all__ = ["FAULTS"]


class CommunicationLoss(Effect):
    """A PLC is cut off: the SCADA and the other PLCs keep its last readings.

    Where the PLC measures a tank, whoever fills that tank goes on with the last level received.
    Target: "PLC1".."PLC9". Strength: 0 = the SCADA shows last values, 1 = it shows nothing (NaN).
    """

    family = "fault"
    unit = "0 = SCADA holds last values, 1 = SCADA records nothing"
    high = 1.0

    def __init__(self, event: Event, rng: np.random.Generator) -> None:
        super().__init__(event, rng)
        self._held: dict[str, float] = {}
        self._channels = frozenset(PLC_CHANNELS[event.target])
        # PLC3 measures T2 and switches V2 itself: no message between PLCs is lost there.
        self._tank = "" if event.target == "PLC3" else PLC_TANKS.get(event.target, "")

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return tuple(PLC_CHANNELS)

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(tuple(PLC_CHANNELS), rng), 0.0)

    def reading(self, tank: str, level: float, hour: float) -> float:
        return self._held.setdefault(tank, level) if tank == self._tank else level

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel not in self._channels:
            return value
        return math.nan if self.event.strength > 0.5 else self._held.setdefault(channel, value)


#: Kind -> effect.
FAULTS: Mapping[str, type[Effect]] = {**faults.FAULTS, "communication_loss": CommunicationLoss}
