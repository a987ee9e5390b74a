"""Faults of pipes, actuators, sensors and communication: no attacker behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from twin.base import Event
from twin.ctown.attacks import DUTY_PUMPS
from twin.ctown.effects import Choice, Effect, either_sign, pick, uniform
from twin.ctown.network import Network
from twin.ctown.plant import PlantModel
from twin.ctown.scada import PLC_CHANNELS, PLC_TANKS, PUMPS, SCADA, VALVE

__all__ = ["FAULTS"]

#: Channel kind -> unit of a fault's size, so that one draw suits levels, flows and pressures.
_SENSOR_SCALE: Mapping[str, float] = {"level": 0.2, "flow": 4.0, "pressure": 2.0}
_SENSORS = tuple(channel for channel in SCADA.channels if channel.kind in _SENSOR_SCALE)
#: Sensors whose reading changes from hour to hour in normal operation.
_LIVELY = tuple(c.name for c in _SENSORS if c.kind != "flow" or c.name[2:] in (*DUTY_PUMPS, VALVE))
#: Head at which a leak's size is stated, in m.
_LEAK_HEAD_M = 30.0


def _scale(channel: str) -> float:
    return next(_SENSOR_SCALE[c.kind] for c in _SENSORS if c.name == channel)


class _AtJunction(Effect):
    family = "fault"
    low, high = 0.1, 100.0

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return tuple(network.base_demand)

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(tuple(network.shares), rng), uniform(4.0, 20.0, rng))


class Leak(_AtJunction):
    """A pipe breaks at the junction: q = C * p^0.5 runs out, p being the pressure there.

    Target: a junction. Strength: q in L/s at a pressure of 30 m.
    """

    unit = "outflow in L/s at a pressure of 30 m"

    def leak(self) -> tuple[str, float] | None:
        return self.event.target, self.event.strength / math.sqrt(_LEAK_HEAD_M)


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
    unit = "part of the speed lost by the end"
    low, high = 0.01, 0.7

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return PUMPS

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(DUTY_PUMPS, rng), uniform(0.1, 0.3, rng))

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        if link != self.event.target:
            return setting
        return setting * (1.0 - self.event.strength * self.progress(hour))


class ValveStuck(Effect):
    """The valve stays where it is when the fault begins. Target: V2. Strength: none."""

    family = "fault"
    unit = "none, leave at 0"

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return (VALVE,)

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(VALVE, 0.0)

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        return before if link == self.event.target else setting


class _OfSensor(Effect):
    """A broken sensor: a tank's PLC and the SCADA both receive what it says."""

    family = "fault"

    @classmethod
    def targets(cls, network: Network) -> tuple[str, ...]:
        return tuple(channel.name for channel in _SENSORS)

    def reading(self, tank: str, level: float, hour: float) -> float:
        return self.recorded(f"L_{tank}", level, hour)


class SensorDrift(_OfSensor):
    """The reading walks away linearly. Target: a channel. Strength: its unit per hour."""

    unit = "unit of the channel per hour"
    low, high = -10.0, 10.0
    needs_strength = True

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        channel = pick(_LIVELY, rng)
        return Choice(channel, either_sign(uniform(0.1, 0.3, rng) * _scale(channel), rng))

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel != self.event.target:
            return value
        return value + self.event.strength * (hour - self.event.start_h)


class SensorStuck(_OfSensor):
    """The reading stays at its first value. Target: a channel. Strength: none."""

    unit = "none, leave at 0"

    def __init__(self, event: Event, rng: np.random.Generator) -> None:
        super().__init__(event, rng)
        self._held: float | None = None

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(_LIVELY, rng), 0.0)

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
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        channel = pick(_LIVELY, rng)
        return Choice(channel, round(uniform(1.0, 3.0, rng) * _scale(channel), 4))

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel != self.event.target:
            return value
        return value + self.event.strength * float(self.rng.standard_normal())


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
    def targets(cls, network: Network) -> tuple[str, ...]:
        return tuple(PLC_CHANNELS)

    @classmethod
    def draw(cls, plant: PlantModel, network: Network, rng: np.random.Generator) -> Choice:
        return Choice(pick(tuple(PLC_CHANNELS), rng), 0.0)

    def reading(self, tank: str, level: float, hour: float) -> float:
        return self._held.setdefault(tank, level) if tank == self._tank else level

    def recorded(self, channel: str, value: float, hour: float) -> float:
        if channel not in self._channels:
            return value
        return math.nan if self.event.strength > 0.5 else self._held.setdefault(channel, value)


#: Kind -> effect.
FAULTS: Mapping[str, type[Effect]] = {
    "leak": Leak,
    "demand_burst": DemandBurst,
    "sensor_drift": SensorDrift,
    "sensor_stuck": SensorStuck,
    "sensor_noise": SensorNoise,
    "pump_degradation": PumpDegradation,
    "valve_stuck": ValveStuck,
    "communication_loss": CommunicationLoss,
}
