"""Faults of pipes, actuators and sensors: no attacker behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from twin.base import Event
from twin.epanet.effects import Assets, Choice, Effect, either_sign, pick, uniform

__all__ = ["FAULTS", "LEAK_HEAD_M"]

#: Head at which a leak's size is stated, in m.
LEAK_HEAD_M = 30.0


class _AtJunction(Effect):
    family = "fault"
    low, high = 0.1, 100.0

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return assets.junctions

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.leaks, rng), uniform(*assets.loss_lps, rng))


class Leak(_AtJunction):
    """A pipe breaks at the junction: q = C * p^0.5 runs out, p being the pressure there.

    Target: a junction. Strength: q in L/s at a pressure of 30 m.
    """

    unit = "outflow in L/s at a pressure of 30 m"

    def leak(self) -> tuple[str, float] | None:
        return self.event.target, self.event.strength / math.sqrt(LEAK_HEAD_M)


class DemandBurst(_AtJunction):
    """Someone draws an unusual amount of water. Target: a junction. Strength: extra L/s."""

    unit = "extra demand in L/s"

    def burst(self) -> tuple[str, float] | None:
        return self.event.target, self.event.strength


class PumpDegradation(Effect):
    """A pump wears out: its effective speed falls linearly, 1 - strength * progress.

    Target: a pump. Strength: part of the speed lost by the end.
    """

    family = "fault"
    drives = True
    unit = "part of the speed lost by the end"
    low, high = 0.01, 0.7

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return assets.pumps

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.duty, rng), uniform(0.1, 0.3, rng))

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        if link != self.event.target:
            return setting
        return setting * (1.0 - self.event.strength * self.progress(hour))


class ValveStuck(Effect):
    """The valve stays where it is when the fault begins. Target: a valve. Strength: none."""

    family = "fault"
    drives = True
    unit = "none, leave at 0"

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return assets.switched_valves

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.switched_valves, rng), 0.0)

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return before if link == self.event.target else setting


class _OfSensor(Effect):
    """A broken sensor: a tank's PLC and the SCADA both receive what it says."""

    family = "fault"

    @classmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        return tuple(assets.sensors)

    def reading(self, tank: str, level: float, hour: float) -> float:
        return self.recorded(f"L_{tank}", level, hour)


class SensorDrift(_OfSensor):
    """The reading walks away linearly. Target: a channel. Strength: its unit per hour."""

    unit = "unit of the channel per hour"
    low, high = -10.0, 10.0
    needs_strength = True

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        channel = pick(assets.lively, rng)
        return Choice(channel, either_sign(uniform(0.1, 0.3, rng) * assets.sensors[channel], rng))

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel != self.event.target:
            return value
        return value + self.event.strength * (hour - self.event.start_h)


class SensorStuck(_OfSensor):
    """The reading stays at its first value. Target: a channel. Strength: none."""

    follows = False
    unit = "none, leave at 0"

    def __init__(self, event: Event, rng: np.random.Generator) -> None:
        super().__init__(event, rng)
        self._held: float | None = None

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.lively, rng), 0.0)

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel != self.event.target:
            return value
        if self._held is None:
            self._held = value
        return self._held


class SensorNoise(_OfSensor):
    """White noise on the reading. Target: a channel. Strength: its standard deviation."""

    unit = "standard deviation in the unit of the channel"
    high = 100.0
    needs_strength = True

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        channel = pick(assets.lively, rng)
        return Choice(channel, round(uniform(1.0, 3.0, rng) * assets.sensors[channel], 4))

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel != self.event.target:
            return value
        return value + self.event.strength * float(self.rng.standard_normal())


#: Kind -> effect.
FAULTS: Mapping[str, type[Effect]] = {
    "leak": Leak,
    "demand_burst": DemandBurst,
    "sensor_drift": SensorDrift,
    "sensor_stuck": SensorStuck,
    "sensor_noise": SensorNoise,
    "pump_degradation": PumpDegradation,
    "valve_stuck": ValveStuck,
}
