"""A pump that fills a tank that a town drinks from, with faults that can happen to it.

The pump lifts Q (L/s) to the head H0 - k Q² (m); the main to the tank asks for z + h + r Q², with
the lift z and the tank's level h. The pump starts at a low level and stops at a high one. What
leaves the tank is the demand, which follows the hour of the day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANNELS", "PERIOD_S", "Fault", "Station", "readings"]

#: Seconds from one row to the next.
PERIOD_S = 300
#: Columns of `readings`: m, L/s, L/s, bar, kW, and 0 or 1.
CHANNELS = ("level", "inflow", "outflow", "pressure", "power", "pump")
_STEPS = 5  # of the simulation in a period
_BAR = 0.0981  # of one metre of water
_SHUTOFF_M = 62.0  # H0
_CURVE = 0.012  # k, m per (L/s)²
_MAIN = 0.010  # r, likewise
_STARTS_M, _STOPS_M, _OVERFLOW_M = 1.8, 3.6, 5.0
_EFFICIENCY, _STANDBY_KW = 0.68, 0.3
# Standard deviation of each sensor's noise, the pump's status has none.
_NOISE = np.array([0.012, 0.18, 0.15, 0.02, 0.12, 0.0])


@dataclass(frozen=True, slots=True)
class Station:
    """What differs between stations.

    Parameters
    ----------
    number : of the station, >= 0; its noise and its town's habits are drawn with it.
    area_m2 : of the tank.
    lift_m : from the pump to the tank's floor.
    demand : of the town on average, L/s.
    """

    number: int
    area_m2: float
    lift_m: float
    demand: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks, and is mended.

    Parameters
    ----------
    name : "strainer blocked", "burst main" or "check valve stuck open".
    first, last : rows in which it is there, both inclusive.
    """

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Condition:
    """State of repair: `suction` raises the pump's k by that factor, `leak` and `backflow` are L/s
    at a head of one metre.
    """

    suction: float = 1.0
    leak: float = 0.0
    backflow: float = 0.0


_SOUND = _Condition()
_BROKEN: Mapping[str, _Condition] = {
    "strainer blocked": _Condition(suction=3.0),
    "burst main": _Condition(leak=1.6),
    "check valve stuck open": _Condition(backflow=1.1),
}


def readings(station: Station, rows: int, faults: tuple[Fault, ...] = ()) -> NDArray[np.float64]:
    """Simulate a station; return what its sensors read, shape (rows, 6), ordered as `CHANNELS`."""
    rng = np.random.default_rng([2024, station.number])
    true = np.array(list(_simulate(station, _demands(station, rows, rng), faults)))
    return true + _NOISE * rng.standard_normal(true.shape)


def _demands(station: Station, rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two peaks a day, and moods of an hour or so; shape (rows,), L/s."""
    hour = np.arange(rows) * PERIOD_S / 3600
    peaks = np.exp(-(((hour % 24 - 7.5) / 1.8) ** 2)) + np.exp(-(((hour % 24 - 19.0) / 2.4) ** 2))
    mood = np.zeros(rows)
    for row, shock in enumerate(rng.standard_normal(rows - 1), start=1):
        mood[row] = 0.92 * mood[row - 1] + 0.035 * shock
    return station.demand * np.maximum(0.65 + 0.9 * peaks + mood, 0.1)


def _simulate(
    station: Station, demands: NDArray[np.float64], faults: tuple[Fault, ...]
) -> Iterator[tuple[float, ...]]:
    level, pump = 2.5 + 0.2 * station.number, False
    for row, demand in enumerate(demands):
        broken = [_BROKEN[f.name] for f in faults if f.first <= row <= f.last]
        condition = broken[0] if broken else _SOUND
        for _ in range(_STEPS):
            pump = level < _STOPS_M if pump else level < _STARTS_M
            static = station.lift_m + level
            inflow, head, leak = _flows(static, pump, condition)
            level += (inflow - leak - demand) * PERIOD_S / _STEPS / 1000 / station.area_m2
            level = min(max(level, 0.0), _OVERFLOW_M)
        power = _STANDBY_KW
        if pump:
            lifted = _SHUTOFF_M - _CURVE * inflow**2  # a blocked strainer spoils what is lifted
            power += 9.81 * inflow / 1000 * lifted / _EFFICIENCY
        yield level, inflow, float(demand), head * _BAR, power, float(pump)


def _flows(static: float, pump: bool, condition: _Condition) -> tuple[float, float, float]:
    """Flow through the pump (L/s), head behind it (m), and what the main loses (L/s)."""
    if not pump:
        back = condition.backflow * math.sqrt(static)
        leak = condition.leak * math.sqrt(static)
        flow = back + leak  # from the tank down the main
        return -back, static - _MAIN * flow**2, leak
    curve = _CURVE * condition.suction
    low, high = 0.0, math.sqrt(_SHUTOFF_M / curve)
    while high - low > 1e-6:
        flow = (low + high) / 2
        head = _SHUTOFF_M - curve * flow**2
        arrives = flow - condition.leak * math.sqrt(head)
        asked = static + math.copysign(_MAIN * arrives**2, arrives)
        low, high = (flow, high) if head > asked else (low, flow)
    head = _SHUTOFF_M - curve * low**2
    return low, head, condition.leak * math.sqrt(head)
