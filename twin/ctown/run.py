"""One scenario on the solver: burn-in, PLC decisions, events, hourly SCADA samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.base import Scenario
from twin.ctown.concealment import conceal
from twin.ctown.demands import demand_series
from twin.ctown.effects import Effect
from twin.ctown.events import build_effects
from twin.ctown.hydraulics import Hydraulics
from twin.ctown.network import Network
from twin.ctown.plant import PlantModel
from twin.ctown.plc import PlcRack
from twin.ctown.scada import LINKS, PRESSURE_NODES, SCADA, TANKS, VALVE
from twin.ctown.scenario_file import scenario_inp

__all__ = ["ScenarioRun", "SimulationReport", "StartState", "TankBalance", "draw_start"]

FloatArray = npt.NDArray[np.float64]

#: First Monday of BATADAL's normal year; scenarios start 0 to 51 weeks later.
_FIRST_DAY = pd.Timestamp("2014-01-06")
#: Fewest and most hours simulated before the first row: by then no row depends on the made-up
#: levels of the start, and the tanks are at a random point of their cycle.
_BURN_IN_H = (48, 72)
#: Random streams of a seed; events have one of their own (see ``events``).
_START_STREAM, _DEMAND_STREAM, _NOISE_STREAM = 0, 1, 2
_HOUR_S = 3600
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class StartState:
    """Where a scenario starts.

    Parameters
    ----------
    time : time of the first row, a Monday at 0:00.
    burn_in_h : hours simulated before it.
    levels : tank -> level in m when the burn-in begins.
    """

    time: pd.Timestamp
    burn_in_h: int
    levels: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TankBalance:
    """Water through one tank during a whole run, in m3.

    Parameters
    ----------
    inflow_m3 : net inflow, added up over the solver's own steps.
    stored_m3 : cross-section times change of level; equals `inflow_m3` if mass is conserved.
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
    """

    solves: int
    warnings: Mapping[str, int]
    tanks: Mapping[str, TankBalance]


def draw_start(network: Network, seed: int) -> StartState:
    """Draw the start of the scenario with this seed: week, burn-in, tanks 30 to 80% full."""
    rng = np.random.default_rng([seed, _START_STREAM])
    week, burn_in = int(rng.integers(52)), int(rng.integers(_BURN_IN_H[0], _BURN_IN_H[1] + 1))
    fill = rng.uniform(0.3, 0.8, len(TANKS))
    levels = {n: float(f) * network.tanks[n].max_level for n, f in zip(TANKS, fill, strict=True)}
    return StartState(_FIRST_DAY + pd.Timedelta(weeks=week), burn_in, levels)


class _TankAccount:
    """Adds up what flows in and out of the tanks, independently of their levels."""

    def __init__(self, network: Network, water: Hydraulics) -> None:
        self._areas = np.array([network.tanks[name].area_m2 for name in TANKS])
        self._first = np.array(water.levels())
        self._net, self._moved = np.zeros(len(TANKS)), np.zeros(len(TANKS))

    def add(self, inflows: list[float], seconds: int) -> None:
        """Book a step's net inflows, in L/s."""
        volume = np.array(inflows) * (seconds / 1000.0)
        self._net += volume
        self._moved += np.abs(volume)

    def close(self, water: Hydraulics) -> dict[str, TankBalance]:
        stored = (np.array(water.levels()) - self._first) * self._areas
        rows = np.column_stack([self._net, stored, self._moved]).tolist()
        return {name: TankBalance(*row) for name, row in zip(TANKS, rows, strict=True)}


class ScenarioRun:
    """Runs one scenario once.

    Parameters
    ----------
    plant, network : what is simulated.
    scenario : checked beforehand (see ``events.check_scenario``).
    """

    def __init__(self, plant: PlantModel, network: Network, scenario: Scenario) -> None:
        self._plant, self._network, self._scenario = plant, network, scenario
        self.start = draw_start(network, scenario.seed)
        self._effects = build_effects(scenario.events, scenario.seed)
        self._leaks = {leak[0]: 0.0 for effect in self._effects if (leak := effect.leak())}
        self._rack = PlcRack(plant.setpoints)
        self._settings = dict.fromkeys(LINKS, 0.0)
        self._noise = self._sensor_noise()
        self._rows = np.empty_like(self._noise)
        self._water = Hydraulics(self.input_text(), f"scenario {scenario.name!r}", self._leaks)

    def input_text(self) -> str:
        """Return the EPANET input file of the scenario, events on demand included."""
        hours = self.start.burn_in_h + self._scenario.hours
        rng = np.random.default_rng([self._scenario.seed, _DEMAND_STREAM])
        begin = self.start.time - pd.Timedelta(hours=self.start.burn_in_h)
        demands = {
            name: demand_series(demand, begin, hours, rng)
            for name, demand in sorted(self._plant.demands.items())
        }
        bursts = [self._burst(effect, hours) for effect in self._effects if effect.burst()]
        return scenario_inp(self._plant, self._network, self.start.levels, demands, bursts)

    def _burst(self, effect: Effect, hours: int) -> tuple[str, FloatArray]:
        junction, extra = effect.burst() or ("", 0.0)
        first = self.start.burn_in_h + effect.event.start_h
        series = np.zeros(hours)
        series[first : first + effect.event.hours] = extra
        return junction, series

    def _sensor_noise(self) -> FloatArray:
        sd = [self._plant.sensor_noise.get(channel.kind, 0.0) for channel in SCADA.channels]
        rng = np.random.default_rng([self._scenario.seed, _NOISE_STREAM])
        noise: FloatArray = rng.standard_normal((self._scenario.hours, len(sd))) * sd
        return noise  # shape: (hours, channels)

    def run(self) -> tuple[FloatArray, SimulationReport]:
        """Simulate; return the recorded values and how the solver fared.

        Values have one row per hour and one column per channel of SCADA. Raises ScenarioError when
        the hydraulics do not converge.
        """
        with self._water as water:
            account = _TankAccount(self._network, water)
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
        report = SimulationReport(water.solves, dict(sorted(water.warnings.items())), tanks)
        return self._finish(), report

    def _hour(self, water: Hydraulics) -> float:
        return water.time_s / _HOUR_S - self.start.burn_in_h

    def _before_solve(self, water: Hydraulics) -> None:
        """Let the PLCs act if it is their turn; a tank that fills up ends a step in between."""
        if water.time_s % self._plant.plc_step_s:
            return
        hour = self._hour(water)
        active = [effect for effect in self._effects if effect.active(hour)]
        self._control(water, hour, active)
        if self._leaks:
            self._set_leaks(water, active)

    def _control(self, water: Hydraulics, hour: float, active: list[Effect]) -> None:
        readings = dict(zip(TANKS, water.levels(), strict=True))
        rules = self._plant.setpoints
        for effect in active:
            readings = {tank: effect.reading(tank, v, hour) for tank, v in readings.items()}
            rules = {link: effect.rule(link, rule) for link, rule in rules.items()}
        orders = self._rack.decide(rules, readings)
        for link in LINKS:
            before = setting = self._settings[link]
            setting = float(orders.get(link, False))
            for effect in active:
                setting = effect.command(link, setting, before, hour)
            if setting != before:
                self._switch(water, link, setting)

    def _switch(self, water: Hydraulics, link: str, setting: float) -> None:
        self._settings[link] = setting
        if link == VALVE:
            water.set_valve(link, setting > 0)
        else:
            water.set_pump(link, setting)

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
        row = self._sample(water) + self._noise[int(hour)]
        for effect in self._effects:
            if effect.active(hour):
                pairs = zip(SCADA.names, row, strict=True)
                row = np.array([effect.recorded(name, float(v), hour) for name, v in pairs])
        self._rows[int(hour)] = row

    def _sample(self, water: Hydraulics) -> FloatArray:
        values = water.levels()
        for link in LINKS:
            values += (water.flow(link), float(self._settings[link] > 0))
        return np.array([*values, *(water.pressure(node) for node in PRESSURE_NODES)])

    def _finish(self) -> FloatArray:
        """Let instruments saturate at the ends of their range, and attackers cover their tracks."""
        low = [channel.low for channel in SCADA.channels]
        high = [channel.high for channel in SCADA.channels]
        # BATADAL's files keep single precision; a full tank is exactly full in them.
        values = np.clip(self._rows.round(_DECIMALS), low, high)
        for event in self._scenario.events:
            if event.conceal:
                conceal(values, event)
        return np.clip(values, low, high)
