"""Attacks on the plant's controls, after those of BATADAL.

Source: Taormina et al. 2018, doi 10.1061/(ASCE)WR.1943-5452.0000969, tables of attacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twin.ctown.effects import Choice, Effect, either_sign, pick, uniform
from twin.ctown.network import Network
from twin.ctown.plant import PlantModel, SetPoint
from twin.ctown.scada import PUMPS, TANK_LINKS, VALVE

__all__ = ["ATTACKS"]

#: Pumps that run in normal operation, and those that stand by.
DUTY_PUMPS = ("PU1", "PU2", "PU4", "PU7", "PU8", "PU10")
IDLE_PUMPS = tuple(pump for pump in PUMPS if pump not in DUTY_PUMPS)
#: Tanks whose level switches a pump or the valve.
CONTROLLED = tuple(tank for tank, links in TANK_LINKS.items() if links)


class _OnTank(Effect):
    family = "attack"

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return CONTROLLED


class AlteredThresholds(_OnTank):
    """Both set-points of every pump or valve that fills the tank are moved.

    Negative: the tank runs low; positive: it runs high. Target: a tank. Strength: the shift in m.
    """

    unit = "shift of the set-points in m"
    low, high = -4.0, 4.0
    needs_strength = True

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(CONTROLLED, rng), either_sign(uniform(0.5, 2.0, rng), rng))

    def rule(self, link: str, rule: SetPoint) -> SetPoint:
        if rule.tank != self.event.target:
            return rule
        shift = self.event.strength
        return replace(rule, on_below=rule.on_below + shift, off_above=rule.off_above + shift)


class CollapsedThresholds(_OnTank):
    """The set-points of the tank's pumps close in on their middle: the pumps keep switching.

    Target: a tank. Strength: half the band that is left, in m.
    """

    unit = "half of the band that is left, in m"
    low, high = 0.0, 1.0

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(CONTROLLED, rng), uniform(0.02, 0.15, rng))

    def rule(self, link: str, rule: SetPoint) -> SetPoint:
        if rule.tank != self.event.target:
            return rule
        middle, half = (rule.on_below + rule.off_above) / 2.0, self.event.strength
        return replace(rule, on_below=middle - half, off_above=middle + half)


class FalsifiedLevel(_OnTank):
    """The PLC that fills the tank receives a constant level instead of the measured one.

    With a low one the pumps stay on and the tank overflows. Target: a tank. Strength: the level
    in m.
    """

    unit = "level that the PLC receives, in m"
    low, high = 0.0, 10.0

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        tank = pick(CONTROLLED, rng)
        on_below = [rule.on_below for rule in plant.setpoints.values() if rule.tank == tank]
        return Choice(tank, uniform(0.0, 0.9 * min(on_below, default=1.0), rng))

    def reading(self, tank: str, level: float, hour: float) -> float:
        return self.event.strength if tank == self.event.target else level


class SignalAltered(_OnTank):
    """An offset is added to the level on its way to the PLC that fills the tank.

    Target: a tank. Strength: the offset in m.
    """

    unit = "offset of the level that the PLC receives, in m"
    low, high = -5.0, 5.0
    needs_strength = True

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(CONTROLLED, rng), either_sign(uniform(0.5, 2.0, rng), rng))

    def reading(self, tank: str, level: float, hour: float) -> float:
        return level + self.event.strength if tank == self.event.target else level


class _OnPump(Effect):
    family = "attack"

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return PUMPS


class PumpSpeed(_OnPump):
    """The pump turns at a part of its speed whenever its PLC runs it.

    Target: a pump. Strength: relative speed.
    """

    unit = "relative speed"
    low, high = 0.3, 1.2
    needs_strength = True

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(DUTY_PUMPS, rng), uniform(0.7, 0.92, rng))

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return setting * self.event.strength if link == self.event.target else setting


class ForcedPump(_OnPump):
    """The pump runs whatever its PLC orders. Target: a pump. Strength: none."""

    unit = "none, leave at 0"

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(IDLE_PUMPS, rng), 0.0)

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return 1.0 if link == self.event.target else setting


class ForcedOff(_OnPump):
    """The pump stands still whatever its PLC orders. Target: a pump. Strength: none."""

    unit = "none, leave at 0"

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(DUTY_PUMPS, rng), 0.0)

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return 0.0 if link == self.event.target else setting


class ForcedValve(Effect):
    """The valve is held open or closed whatever its PLC orders. Target: V2. Strength: 0 or 1."""

    family = "attack"
    unit = "0 = closed, 1 = open"
    high = 1.0

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return (VALVE,)

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(VALVE, float(rng.integers(2)))

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return float(self.event.strength > 0.5) if link == self.event.target else setting


#: Kind -> effect.
ATTACKS: Mapping[str, type[Effect]] = {
    "altered_thresholds": AlteredThresholds,
    "collapsed_thresholds": CollapsedThresholds,
    "falsified_level": FalsifiedLevel,
    "signal_altered": SignalAltered,
    "pump_speed": PumpSpeed,
    "forced_pump": ForcedPump,
    "forced_off": ForcedOff,
    "valve": ForcedValve,
}
