"""The twin of any EPANET network: scenario in, labelled SCADA series out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import pandas as pd

from twin.base import Scenario, Surroundings
from twin.epanet.derived import derive_laws
from twin.epanet.events import KINDS, Kinds, check_scenario, labelled
from twin.epanet.laws import Laws
from twin.epanet.opening import check_file
from twin.epanet.options import EpanetOptions, NetworkOptions
from twin.epanet.plan import plan_scenarios
from twin.epanet.plant import Instrumented, instrument
from twin.epanet.run import SimulationReport
from twin.epanet.scenario import ScenarioRun
from twin.epanet.trial import try_plant
from twin.errors import TwinError
from twin.schema import Schema

__all__ = ["EpanetTwin"]

#: Change it whenever the same network and scenario would give other numbers than before.
_MODEL_VERSION = "1"


class EpanetTwin:
    """A water network, simulated by EPANET with the controls and rules of its own file.

    Two twins of the same file and options give the same series for the same scenario, bit for bit,
    in any process. A twin is picklable: worker processes read the network file themselves.

    Parameters
    ----------
    network : path of an EPANET input file (.inp). TwinError when EPANET does not take it, naming
        line and section, or cannot run it undisturbed, naming the element.
    options : what the file does not say.
    """

    Options: ClassVar[type] = NetworkOptions

    def __init__(self, network: str | Path, options: EpanetOptions | None = None) -> None:
        self._path, self._options = Path(network).absolute(), options or EpanetOptions()
        changed = self._path.stat().st_mtime_ns if self._path.exists() else 0
        _check(self._path, self._options, changed)

    @classmethod
    def from_options(cls, options: NetworkOptions, around: Surroundings) -> EpanetTwin:
        """Build the twin of sites with these channels; `F_` and `P_` ones name its sensors."""
        if not options.network:
            raise TwinError(
                "twin epanet: option network is empty; give the path of an EPANET input file (.inp)"
            )
        plain = {field.name: getattr(options, field.name) for field in fields(EpanetOptions)}
        for option, start in (("meters", "F_"), ("pressures", "P_")):
            there = [name[2:] for name in around.schema.names if name.startswith(start)]
            plain[option] = plain[option] or tuple(there)
        return cls(around.folder / options.network, EpanetOptions(**plain))

    def _plant(self) -> Instrumented:
        return instrument(self._path, self._options)

    @property
    def options(self) -> EpanetOptions:
        """What the file does not say."""
        return self._options

    @property
    def schema(self) -> Schema:
        """Levels of all tanks, flow and status of all meters, pressures; one row per hour."""
        return self._plant().schema(self._path.stem)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of events that this network has a target for, attacks first."""
        return tuple(self._kinds())

    def _kinds(self) -> Kinds:
        assets = self._plant().assets()
        return {kind: effect for kind, effect in KINDS.items() if effect.targets(assets)}

    def laws(self) -> Laws:
        """Return the laws that the network holds to in normal operation."""
        return derive_laws(self._plant(), self._options)

    def fingerprint(self) -> str:
        """Digest of network file, options, schema and model: 16 hexadecimal digits."""
        options = json.dumps(asdict(self._options), sort_keys=True)
        digest = hashlib.sha256(f"{_MODEL_VERSION} {options} {self.schema.digest()}".encode())
        digest.update(self._path.read_bytes())
        return digest.hexdigest()[:16]

    def plan(self, count: int, hours: int, seed: int, families: Sequence[str]) -> list[Scenario]:
        """Draw scenarios, see ``plan.plan_scenarios``.

        `families` are event kinds of `kinds`, or "attack" or "fault" for all of that sort.
        """
        assets = self._plant().assets()
        return plan_scenarios(
            self._path.stem, assets, self._kinds(), (count, hours, seed), families
        )

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        """Run one scenario and return its labelled series, one row per hour.

        The first row is a Monday, `burn_in_days` after the file's time 0. Label 1 and an event id
        such as "falsified_level:T1#0" mark the hours while an event lasts; ids of events at the
        same time are joined by "+". Raises TwinError when the scenario is not one this twin can
        run, ScenarioError when the hydraulics do not converge.
        """
        return self.simulate_with_report(scenario)[0]

    def simulate_with_report(self, scenario: Scenario) -> tuple[pd.DataFrame, SimulationReport]:
        """Run one scenario; return its labelled series and how the solver fared."""
        plant = self._plant()
        check_scenario(scenario, plant.assets(), self._kinds())
        run = ScenarioRun(plant, self.schema, self._options, scenario)
        values, report = run.run()
        return labelled(values, self.schema.names, scenario, run.start), report


@lru_cache(maxsize=8)
def _check(path: Path, options: EpanetOptions, _changed: int) -> None:
    """Raise TwinError unless the network runs; tried once per process and state of the file."""
    check_file(path)
    plant = instrument(path, options)
    try_plant(plant, plant.schema(path.stem), options)
