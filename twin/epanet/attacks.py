"""Attacks on a plant's controls, after those of BATADAL.

Source: Taormina et al. 2018, doi 10.1061/(ASCE)WR.1943-5452.0000969, tables of attacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from twin.epanet.effects import Assets, Choice, Effect, either_sign, pick, uniform

__all__ = ["ATTACKS"]


class OnTank(Effect):
    """An attack on the level of a tank that switches pumps or valves."""

    family = "attack"

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return assets.tanks


class AlteredThresholds(OnTank):
    """Both set-points of every pump or valve that fills the tank are moved.

    Negative: the tank runs low; positive: it runs high. Target: a tank. Strength: the shift in m.
    """

    unit = "shift of the set-points in m"
    low, high = -50.0, 50.0
    needs_strength = True

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        tank = pick(assets.tanks, rng)
        return Choice(tank, either_sign(uniform(*assets.shift[tank], rng), rng))

    def threshold(self, tank: str, level: float) -> float:
        return level + self.event.strength if tank == self.event.target else level


class FalsifiedLevel(OnTank):
    """The PLC that fills the tank receives a constant level instead of the measured one.

    With a low one the pumps stay on and the tank overflows. Target: a tank. Strength: the level
    in m.
    """

    unit = "level that the PLC receives, in m"
    low, high = 0.0, 100.0
    follows = False

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        tank = pick(assets.tanks, rng)
        return Choice(tank, uniform(0.0, 0.9 * assets.lowest_on[tank], rng))

    def reading(self, tank: str, level: float, hour: float) -> float:
        return self.event.strength if tank == self.event.target else level


class SignalAltered(OnTank):
    """An offset is added to the level on its way to the PLC that fills the tank.

    Target: a tank. Strength: the offset in m.
    """

    unit = "offset of the level that the PLC receives, in m"
    low, high = -50.0, 50.0
    needs_strength = True

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        tank = pick(assets.tanks, rng)
        return Choice(tank, either_sign(uniform(*assets.shift[tank], rng), rng))

    def reading(self, tank: str, level: float, hour: float) -> float:
        return level + self.event.strength if tank == self.event.target else level


class _OnPump(Effect):
    family = "attack"
    drives = True

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return assets.pumps


class PumpSpeed(_OnPump):
    """The pump turns at a part of its speed whenever its PLC runs it.

    Target: a pump. Strength: relative speed.
    """

    unit = "relative speed"
    low, high = 0.3, 1.2
    needs_strength = True

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.duty, rng), uniform(0.7, 0.92, rng))

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return setting * self.event.strength if link == self.event.target else setting


class _Forced(_OnPump):
    unit = "none, leave at 0"
    #: What the pump turns at, whatever its PLC orders.
    speed: ClassVar[float]

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return self.speed if link == self.event.target else setting


class ForcedPump(_Forced):
    """The pump runs whatever its PLC orders. Target: a pump. Strength: none."""

    speed = 1.0

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.idle, rng), 0.0)


class ForcedOff(_Forced):
    """The pump stands still whatever its PLC orders. Target: a pump. Strength: none."""

    speed = 0.0

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.duty, rng), 0.0)


class ForcedValve(Effect):
    """The valve is held open or closed whatever its PLC orders.

    Target: a valve. Strength: 0 or 1.
    """

    family = "attack"
    drives = True
    unit = "0 = closed, 1 = open"
    high = 1.0

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return assets.valves

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.valves, rng), float(rng.integers(2)))

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return float(self.event.strength > 0.5) if link == self.event.target else setting


#: Kind -> effect.
ATTACKS: Mapping[str, type[Effect]] = {
    "altered_thresholds": AlteredThresholds,
    "falsified_level": FalsifiedLevel,
    "signal_altered": SignalAltered,
    "pump_speed": PumpSpeed,
    "forced_pump": ForcedPump,
    "forced_off": ForcedOff,
    "valve": ForcedValve,
}
