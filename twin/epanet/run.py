"""One scenario on the solver: burn-in, events, hourly samples, and what instruments record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.base import Scenario
from twin.epanet.concealment import Stations, conceal
from twin.epanet.effects import Effect
from twin.epanet.events import Kinds, build_effects
from twin.epanet.hydraulics import Hydraulics
from twin.schema import Schema

__all__ = [
    "DEMAND_STREAM",
    "FIRST_DAY",
    "START_STREAM",
    "Plant",
    "Run",
    "SimulationReport",
    "TankBalance",
]

FloatArray = npt.NDArray[np.float64]

#: First Monday of BATADAL's normal year; scenarios start 0 to 51 weeks later.
FIRST_DAY = pd.Timestamp("2014-01-06")
#: Random streams of a seed; events have one of their own (see ``events``).
START_STREAM, DEMAND_STREAM, _NOISE_STREAM = 0, 1, 2
_HOUR_S = 3600
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class TankBalance:
    """Water through one tank during a whole run, in m3.

    Parameters
    ----------
    inflow_m3 : net inflow, added up over the solver's own steps.
    stored_m3 : change of the water in it; equals `inflow_m3` if mass is conserved.
    moved_m3 : inflow and outflow added up without their signs.
    """

    inflow_m3: float
    stored_m3: float
    moved_m3: float


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """How the solver fared.

    Parameters
    ----------
    solves : hydraulic steps solved.
    warnings : solver warning -> number of steps that gave it.
    tanks : tank -> water balance.
    lowest : where and when pressure was first negative, "" if it never was.
    """

    solves: int
    warnings: Mapping[str, int]
    tanks: Mapping[str, TankBalance]
    lowest: str = ""


@dataclass(frozen=True, slots=True)
class Plant:
    """What a run needs to know of the plant that it simulates.

    Parameters
    ----------
    schema : channels that are recorded; hourly.
    tanks : names, in the order of ``Hydraulics.levels``.
    kinds : events that can happen.
    stations : what an attacker conceals together.
    sensor_noise : channel kind -> standard deviation of additive noise, in its unit.
    """

    schema: Schema
    tanks: tuple[str, ...]
    kinds: Kinds
    stations: Stations
    sensor_noise: Mapping[str, float]


class _TankAccount:
    """Adds up what flows in and out of the tanks, independently of their levels."""

    def __init__(self, tanks: tuple[str, ...], water: Hydraulics) -> None:
        self._tanks = tanks
        self._first = np.array(water.volumes())
        self._net, self._moved = np.zeros(len(tanks)), np.zeros(len(tanks))

    def add(self, inflows: list[float], seconds: int) -> None:
        """Book a step's net inflows, in L/s."""
        volume = np.array(inflows) * (seconds / 1000.0)
        self._net += volume
        self._moved += np.abs(volume)

    def close(self, water: Hydraulics) -> dict[str, TankBalance]:
        stored = np.array(water.volumes()) - self._first
        rows = np.column_stack([self._net, stored, self._moved]).tolist()
        return {name: TankBalance(*row) for name, row in zip(self._tanks, rows, strict=True)}


class Run(ABC):
    """Runs one scenario once; who controls the plant, and how, is left to the kind of plant.

    Parameters
    ----------
    plant : what is simulated.
    scenario : checked beforehand (see ``events.check_scenario``).
    burn_in_h : hours simulated before the first row.
    """

    _water: Hydraulics

    def __init__(self, plant: Plant, scenario: Scenario, burn_in_h: int) -> None:
        self._model, self._scenario, self._burn_in_h = plant, scenario, burn_in_h
        self._effects = build_effects(scenario.events, scenario.seed, plant.kinds)
        self._leaks = {leak[0]: 0.0 for effect in self._effects if (leak := effect.leak())}
        self._noise = self._sensor_noise()
        self._rows = np.full_like(self._noise, np.nan)

    def _sensor_noise(self) -> FloatArray:
        channels, sd = self._model.schema.channels, self._model.sensor_noise
        rng = np.random.default_rng([self._scenario.seed, _NOISE_STREAM])
        noise: FloatArray = rng.standard_normal((self._scenario.hours, len(channels))) * [
            sd.get(channel.kind, 0.0) for channel in channels
        ]
        return noise  # shape: (hours, channels)

    def run(self) -> tuple[FloatArray, SimulationReport]:
        """Simulate; return the recorded values and how the solver fared.

        Values have one row per hour and one column per channel. Raises ScenarioError when the
        hydraulics do not converge.
        """
        with self._water as water:
            account = _TankAccount(self._model.tanks, water)
            while True:
                self._before_solve(water)
                water.solve()
                self._after_solve(water)
                inflows = water.inflows()
                step = water.advance()
                if not step:
                    break
                account.add(inflows, step)
            tanks = account.close(water)
            warnings = dict(sorted(water.warnings.items()))
            report = SimulationReport(water.solves, warnings, tanks, water.lowest)
        return self._finish(), report

    def _hour(self, water: Hydraulics) -> float:
        return water.time_s / _HOUR_S - self._burn_in_h

    @abstractmethod
    def _before_solve(self, water: Hydraulics) -> None:
        """Let PLCs and events act on the state that is about to be solved."""

    @abstractmethod
    def _sample(self, water: Hydraulics) -> FloatArray:
        """Return what the sensors see of the state just solved. shape: (channels,)"""

    def _set_leaks(self, water: Hydraulics, active: list[Effect]) -> None:
        leaks = dict.fromkeys(self._leaks, 0.0)
        for junction, coefficient in filter(None, (effect.leak() for effect in active)):
            leaks[junction] += coefficient
        for junction, coefficient in leaks.items():
            if coefficient != self._leaks[junction]:
                water.set_emitter(junction, coefficient)
        self._leaks = leaks

    def _after_solve(self, water: Hydraulics) -> None:
        """Sample on the hour: the state that the SCADA polls, not a mean over the hour."""
        hour = self._hour(water)
        if hour < 0 or not hour.is_integer():
            return
        names = self._model.schema.names
        row = self._sample(water) + self._noise[int(hour)]
        for effect in self._effects:
            if effect.active(hour):
                pairs = zip(names, row, strict=True)
                row = np.array([effect.recorded(name, float(v), hour) for name, v in pairs])
        self._rows[int(hour)] = row

    def _finish(self) -> FloatArray:
        """Let instruments saturate at the ends of their range, and attackers cover their tracks."""
        schema = self._model.schema
        low = [channel.low for channel in schema.channels]
        high = [channel.high for channel in schema.channels]
        # BATADAL's files keep single precision; a full tank is exactly full in them.
        values = np.clip(self._rows.round(_DECIMALS), low, high)
        for event in self._scenario.events:
            if event.conceal:
                conceal(values, event, schema.names, self._model.stations)
        return np.clip(values, low, high)
