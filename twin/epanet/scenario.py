"""One scenario of an EPANET network: its demands, and events beside its own controls and rules."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.base import Scenario
from twin.epanet.effects import Effect
from twin.epanet.engine_rules import Switchboard
from twin.epanet.events import KINDS
from twin.epanet.hydraulics import Hydraulics
from twin.epanet.noise import ar1_noise
from twin.epanet.options import EpanetOptions
from twin.epanet.plant import Instrumented
from twin.epanet.run import DEMAND_STREAM, FIRST_DAY, START_STREAM, Plant, Run
from twin.epanet.scenario_file import scenario_inp
from twin.epanet.switching import Switching
from twin.schema import Schema

__all__ = ["ScenarioRun"]

FloatArray = npt.NDArray[np.float64]


class ScenarioRun(Run):
    """Runs one scenario once.

    Parameters
    ----------
    plant, schema, options : what is simulated.
    scenario : checked beforehand.
    """

    def __init__(
        self, plant: Instrumented, schema: Schema, options: EpanetOptions, scenario: Scenario
    ) -> None:
        network = plant.network
        self._tanks = tuple(network.tanks)
        model = Plant(schema, self._tanks, KINDS, plant.stations(), options.sensor_noise)
        super().__init__(model, scenario, 24 * options.burn_in_days)
        self._plant, self._options = plant, options
        self._bursts = {burst[0]: 0.0 for effect in self._effects if (burst := effect.burst())}
        watched = [node for node in network.watched if node in network.elevation]
        self._water = Hydraulics(
            self.input_text(),
            f"scenario {scenario.name!r}",
            self._tanks,
            tuple(dict.fromkeys((*plant.meters, *sorted(network.switched())))),
            (*plant.pressures, *watched, *self._leaks, *self._bursts),
            network.units,
        )
        self._switching: Switching | None = None

    @property
    def start(self) -> pd.Timestamp:
        """Time of the first row: a Monday, at the time of the day at which the file starts."""
        week = int(np.random.default_rng([self._scenario.seed, START_STREAM]).integers(52))
        seconds = self._plant.network.clock.start
        return FIRST_DAY + pd.Timedelta(weeks=week) + pd.Timedelta(seconds=seconds)

    def input_text(self) -> str:
        """Return the EPANET input file of the scenario."""
        hours = self._burn_in_h + self._scenario.hours - 1
        zones = self._plant.zones.of_node
        noise = {
            zone: ar1_noise(hours + 1, self._options.demand_noise, self._options.demand_ar, rng)
            for zone, rng in self._streams(sorted(set(zones.values())))
        }
        return scenario_inp(self._plant.network, zones, noise, hours, self._bursts)

    def _streams(self, zones: list[str]) -> list[tuple[str, np.random.Generator]]:
        """Random numbers of each zone's own, so that a longer scenario begins like a shorter."""
        seed = self._scenario.seed
        return [
            (zone, np.random.default_rng([seed, DEMAND_STREAM, number]))
            for number, zone in enumerate(zones)
        ]

    def _before_solve(self, water: Hydraulics) -> None:
        if not self._effects:
            return
        if self._switching is None:
            network = self._plant.network
            self._switching = Switching(network, Switchboard(network, water))
        hour = self._hour(water)
        active = [effect for effect in self._effects if effect.active(hour)]
        levels = dict(zip(self._tanks, water.levels(), strict=True))
        self._switching.apply(active, hour, levels)
        self._set_leaks(water, active)
        self._set_bursts(water, active)

    def _set_bursts(self, water: Hydraulics, active: list[Effect]) -> None:
        bursts = dict.fromkeys(self._bursts, 0.0)
        for junction, extra in filter(None, (effect.burst() for effect in active)):
            bursts[junction] += extra
        for junction, extra in bursts.items():
            if extra != self._bursts[junction]:
                water.set_burst(junction, extra)
        self._bursts = bursts

    def _sample(self, water: Hydraulics) -> FloatArray:
        values = water.levels()
        links = self._plant.network.links
        for link in self._plant.meters:
            pump = links[link].sort == "PUMP"
            on = water.speed(link) > 0 if pump else water.is_open(link)
            values += (water.flow(link), float(on))
        return np.array([*values, *(water.pressure(node) for node in self._plant.pressures)])
