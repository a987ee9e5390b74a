"""The C-Town twin: scenario in, labelled SCADA series out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd

from twin.base import Scenario
from twin.ctown.demands import check_demand
from twin.ctown.events import KINDS, check_scenario, ctown_assets, kinds_of
from twin.ctown.network import DMA_TANKS, Network, network_of
from twin.ctown.plant import PlantModel
from twin.ctown.run import ScenarioRun
from twin.ctown.scada import LINKS, PUMPS, SCADA, TANKS
from twin.epanet.events import labelled
from twin.epanet.plan import plan_scenarios
from twin.epanet.run import SimulationReport
from twin.errors import TwinError
from twin.schema import Schema

__all__ = ["CTownTwin", "SimulationReport", "check_plant"]

#: Change it whenever the same plant and scenario would give other numbers than before.
_MODEL_VERSION = "2"


class CTownTwin:
    """The C-Town plant, simulated by EPANET with emulated PLCs.

    Two twins of equal plants give the same series for the same scenario, bit for bit, in any
    process. A twin is picklable: worker processes read the network file themselves.

    Parameters
    ----------
    plant : the plant; see ``defaults.default_plant``. TwinError when it cannot be simulated.
    """

    def __init__(self, plant: PlantModel) -> None:
        self._plant = plant
        check_plant(plant)
        self._network()

    def _network(self) -> Network:
        return network_of(self._plant)

    @property
    def plant(self) -> PlantModel:
        """The plant that is simulated."""
        return self._plant

    @property
    def schema(self) -> Schema:
        """BATADAL's 43 channels, hourly."""
        return SCADA

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of event that it can simulate: all attacks and faults, in the table's order."""
        return kinds_of(("attack", "fault"))

    def fingerprint(self) -> str:
        """Digest of plant, network file, schema and model: 16 hexadecimal digits."""
        digest = hashlib.sha256(f"{_MODEL_VERSION} {self._plant.fingerprint()}".encode())
        digest.update(SCADA.digest().encode())
        digest.update(self._network().path.read_bytes())
        return digest.hexdigest()[:16]

    def plan(self, count: int, hours: int, seed: int, families: Sequence[str]) -> list[Scenario]:
        """Draw scenarios, see ``plan.plan_scenarios``.

        `families` are event kinds, or "attack" or "fault" for all of that sort.
        """
        assets = ctown_assets(self._network(), self._plant.setpoints)
        return plan_scenarios("ctown", assets, KINDS, (count, hours, seed), families)

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        """Run one scenario and return its labelled series, one row per hour.

        Units are those of the schema; `time` starts on a Monday at 0:00. Label 1 and an event id
        such as "falsified_level:T1#0" mark the hours while an event lasts; ids of events at the
        same time are joined by "+". Raises TwinError when the scenario is not one this twin can
        run, ScenarioError when the hydraulics do not converge.
        """
        return self.simulate_with_report(scenario)[0]

    def simulate_with_report(self, scenario: Scenario) -> tuple[pd.DataFrame, SimulationReport]:
        """Run one scenario; return its labelled series and how the solver fared."""
        check_scenario(scenario, self._network())
        run = ScenarioRun(self._plant, self._network(), scenario)
        values, report = run.run()
        return labelled(values, SCADA.names, scenario, run.start.time), report


def check_plant(plant: PlantModel) -> None:
    """Raise TwinError unless every figure of the plant can be simulated."""
    _check_names("demands", plant.demands, set(DMA_TANKS), all_of_them=True)
    _check_names("pump_curves", plant.pump_curves, set(PUMPS), all_of_them=True)
    _check_names("setpoints", plant.setpoints, set(LINKS))
    _check_names("roughness", plant.roughness, {*DMA_TANKS, ""})
    _check_names("sensor_noise", plant.sensor_noise, {"level", "flow", "pressure"})
    for name, demand in plant.demands.items():
        check_demand(name, demand)
    _check_setpoints(plant)
    _check_pump_curves(plant)
    if not 1 <= plant.plc_step_s <= 3600 or 3600 % plant.plc_step_s:
        raise TwinError(
            f"plant: plc_step_s is {plant.plc_step_s}; expected a divisor of 3600, e.g. 300 or 900"
        )
    if min([*plant.roughness.values(), 1.0]) <= 0 or min([*plant.sensor_noise.values(), 0.0]) < 0:
        raise TwinError("plant: roughness factors must be above 0, sensor noise at least 0")


def _check_names(
    field: str, given: Mapping[str, object], known: set[str], *, all_of_them: bool = False
) -> None:
    strange = sorted(set(given) - known)
    missing = sorted(known - set(given)) if all_of_them else []
    if strange or missing:
        raise TwinError(
            f"plant: {field} has unknown {strange} and lacks {missing}; expected {sorted(known)}"
        )


def _check_setpoints(plant: PlantModel) -> None:
    for link, rule in plant.setpoints.items():
        if rule.tank not in TANKS or not rule.on_below < rule.off_above:
            raise TwinError(
                f"plant: set-points of {link} are {rule}; expected a tank of {list(TANKS)} and "
                "on_below under off_above"
            )


def _check_pump_curves(plant: PlantModel) -> None:
    for pump, points in plant.pump_curves.items():
        flows, heads = [q for q, _ in points], [h for _, h in points]
        falling = heads == sorted(heads, reverse=True) and len(set(heads)) == len(heads)
        if not points or flows != sorted(set(flows)) or flows[0] < 0 or not falling:
            raise TwinError(
                f"plant: head curve of {pump} is {points}; expected (flow L/s, head m) points, "
                "flow rising from 0 or more, head falling"
            )
