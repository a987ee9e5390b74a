"""One scenario of the C-Town plant: its start, its demands, and the PLCs' decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.base import Scenario
from twin.ctown.concealment import STATIONS
from twin.ctown.demands import demand_series
from twin.ctown.events import KINDS
from twin.ctown.hydraulics import Hydraulics
from twin.ctown.network import Network
from twin.ctown.plant import PlantModel
from twin.ctown.scada import LINKS, PRESSURE_NODES, SCADA, TANKS, VALVE
from twin.ctown.scenario_file import scenario_inp
from twin.epanet import hydraulics
from twin.epanet.effects import Effect
from twin.epanet.plc import PlcRack
from twin.epanet.run import DEMAND_STREAM, FIRST_DAY, START_STREAM, Plant, Run

__all__ = ["ScenarioRun", "StartState", "draw_start"]

FloatArray = npt.NDArray[np.float64]

#: Fewest and most hours simulated before the first row: by then no row depends on the made-up
#: levels of the start, and the tanks are at a random point of their cycle.
_BURN_IN_H = (48, 72)


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


def draw_start(network: Network, seed: int) -> StartState:
    """Draw the start of the scenario with this seed: week, burn-in, tanks 30 to 80% full."""
    rng = np.random.default_rng([seed, START_STREAM])
    week, burn_in = int(rng.integers(52)), int(rng.integers(_BURN_IN_H[0], _BURN_IN_H[1] + 1))
    fill = rng.uniform(0.3, 0.8, len(TANKS))
    levels = {n: float(f) * network.tanks[n].max_level for n, f in zip(TANKS, fill, strict=True)}
    return StartState(FIRST_DAY + pd.Timedelta(weeks=week), burn_in, levels)


class ScenarioRun(Run):
    """Runs one scenario once.

    Parameters
    ----------
    plant, network : what is simulated.
    scenario : checked beforehand (see ``events.check_scenario``).
    """

    def __init__(self, plant: PlantModel, network: Network, scenario: Scenario) -> None:
        self.start = draw_start(network, scenario.seed)
        model = Plant(SCADA, TANKS, KINDS, STATIONS, plant.sensor_noise)
        super().__init__(model, scenario, self.start.burn_in_h)
        self._plant, self._network = plant, network
        self._rack = PlcRack(plant.setpoints)
        self._settings = dict.fromkeys(LINKS, 0.0)
        self._water = Hydraulics(self.input_text(), f"scenario {scenario.name!r}", self._leaks)

    def input_text(self) -> str:
        """Return the EPANET input file of the scenario, events on demand included."""
        hours = self.start.burn_in_h + self._scenario.hours
        rng = np.random.default_rng([self._scenario.seed, DEMAND_STREAM])
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

    def _before_solve(self, water: hydraulics.Hydraulics) -> None:
        """Let the PLCs act if it is their turn; a tank that fills up ends a step in between."""
        if water.time_s % self._plant.plc_step_s:
            return
        hour = self._hour(water)
        active = [effect for effect in self._effects if effect.active(hour)]
        self._control(water, hour, active)
        if self._leaks:
            self._set_leaks(water, active)

    def _control(self, water: hydraulics.Hydraulics, hour: float, active: list[Effect]) -> None:
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

    def _switch(self, water: hydraulics.Hydraulics, link: str, setting: float) -> None:
        self._settings[link] = setting
        if link == VALVE:
            water.set_valve(link, setting > 0)
        else:
            water.set_pump(link, setting)

    def _sample(self, water: hydraulics.Hydraulics) -> FloatArray:
        values = water.levels()
        for link in LINKS:
            values += (water.flow(link), float(self._settings[link] > 0))
        return np.array([*values, *(water.pressure(node) for node in PRESSURE_NODES)])
