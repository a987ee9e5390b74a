"""A twin that is an FMU: a model exported by another tool for co-simulation.

FMI 2.0 and 3.0 (fmi-standard.org), run by FMPy, which the extra ``fmi`` installs. `fmu_file` says
how an FMU becomes a twin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from twin.base import Scenario, Surroundings
from twin.errors import ScenarioError, TwinError
from twin.fmi.fmu import check_fmu, fmu_digest, load_fmpy, unpacked
from twin.fmi.fmu_file import FmuEvent, FmuFile, FmuInput, read_fmu_file
from twin.planning import labelled, plan_scenarios, rows_of
from twin.schema import Schema

__all__ = ["FmuTwin", "FmuTwinOptions"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FmuTwinOptions:
    """What makes an `FmuTwin`: ``file = "plant.fmu"``, or a TOML file beside one."""

    file: str = ""


class FmuTwin:
    """Simulates an FMU, driven by inputs and drawn parameters, with events on inputs and readings.

    Parameters
    ----------
    told : what is simulated, and how.
    schema : the sites' channels, units and period; the FMU takes one step a period.

    Raises TwinError for an FMU that is not there, not for co-simulation, not for this platform, or
    whose variables, units or ranges do not fit.
    """

    Options = FmuTwinOptions

    def __init__(self, told: FmuFile, schema: Schema) -> None:
        self._told, self._schema = told, schema
        self._digest = fmu_digest(told, schema)
        check_fmu(told, schema)

    @classmethod
    def from_options(cls, options: FmuTwinOptions, around: Surroundings) -> FmuTwin:
        """Build the twin of the file that the options name, in the run's folder of files."""
        if not options.file:
            raise TwinError('an FMU twin needs its file, an .fmu or a TOML: file = "plant.toml"')
        return cls(read_fmu_file(around.folder / options.file), around.schema)

    @property
    def schema(self) -> Schema:
        """The sites' channels, units and period."""
        return self._schema

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of event that its file names."""
        return tuple(self._told.events)

    def fingerprint(self) -> str:
        """Digest of the FMU, of what its file says, and of the schema."""
        return self._digest

    def plan(self, count: int, hours: int, seed: int, families: Sequence[str]) -> list[Scenario]:
        """Draw scenarios with one event of `families` each (`plan_scenarios`)."""
        kinds = [event.kind for event in self._told.events.values()]
        return plan_scenarios(kinds, count, hours, seed, families)

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        """Run the FMU through the scenario; ScenarioError, in its own words, where it fails."""
        rng, rows = np.random.default_rng(scenario.seed), rows_of(scenario, self._schema)
        hours = np.arange(rows) * self._schema.period_s / 3600
        start = {name: float(rng.uniform(*span)) for name, span in self._told.parameters.items()}
        driven = {name: _wave(hours, how, rng) for name, how in self._told.inputs.items()}
        events = [(self._event(one.kind, scenario), one) for one in scenario.events]
        for event, one in events:
            if not event.of_reading:
                during = _during(hours, one.start_h, one.hours)
                driven.setdefault(event.where, np.zeros(rows))
                added = driven[event.where][during] if event.how == "add" else 0.0
                driven[event.where][during] = added + one.strength
        readings = self._run(scenario, start, driven, rows)
        for event, one in events:
            if event.of_reading:
                _falsify(readings, event, _during(hours, one.start_h, one.hours), one.strength)
        return labelled(readings, scenario, self._schema)

    def _event(self, kind: str, scenario: Scenario) -> FmuEvent:
        if kind not in self._told.events:
            raise ScenarioError(
                f"scenario {scenario.name!r}: {self._told.fmu.name} knows no event {kind!r}; "
                f"expected one of {sorted(self._told.events)}"
            )
        return self._told.events[kind]

    def _run(
        self,
        scenario: Scenario,
        start: Mapping[str, float],
        driven: Mapping[str, FloatArray],
        rows: int,
    ) -> pd.DataFrame:
        fmpy, period = load_fmpy(), self._schema.period_s
        folder, about = unpacked(self._told.fmu, self._digest)
        variables = {name: self._told.channels.get(name, name) for name in self._schema.names}
        # Without inputs FMPy takes None, and no table that holds the time alone.
        table = _table(driven, rows, period) if driven else None
        try:
            found = fmpy.simulate_fmu(
                folder,
                validate=False,
                start_time=0.0,
                stop_time=(rows - 1) * period,
                output_interval=period,
                start_values=dict(start),
                input=table,
                output=sorted(set(variables.values())),
                model_description=about,
                fmi_type="CoSimulation",
            )
        except Exception as error:  # FMPy and the FMU's own library raise what they like
            raise ScenarioError(
                f"{self._told.fmu.name}, scenario {scenario.name!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if len(found) != rows:
            raise ScenarioError(
                f"{self._told.fmu.name}, scenario {scenario.name!r}: ended after {len(found)} of "
                f"{rows} steps"
            )
        return pd.DataFrame(
            {name: np.asarray(found[v], dtype=np.float64) for name, v in variables.items()}
        )


def _during(hours: FloatArray, start_h: int, lasts: int) -> NDArray[np.bool_]:
    return (hours >= start_h) & (hours < start_h + lasts)


def _wave(hours: FloatArray, how: FmuInput, rng: np.random.Generator) -> FloatArray:
    """A wave and, between values an hour apart, straight noise: the same at any period."""
    phase = rng.uniform(0, 2 * np.pi)
    knots = np.arange(int(hours[-1]) + 2)
    noise = np.interp(hours, knots, how.noise * rng.standard_normal(len(knots)))
    wave: FloatArray = how.mean + how.swing * np.sin(2 * np.pi * hours / how.period_h + phase)
    return wave + noise


def _falsify(
    readings: pd.DataFrame, event: FmuEvent, during: NDArray[np.bool_], strength: float
) -> None:
    values = readings[event.where].to_numpy(copy=True)
    if event.how == "offset":
        values[during] += strength
    elif during.any():
        values[during] = values[int(np.flatnonzero(during)[0])]
    readings[event.where] = values


def _table(driven: Mapping[str, FloatArray], rows: int, period: float) -> NDArray[np.void]:
    table = np.zeros(rows, dtype=[("time", np.float64), *((name, np.float64) for name in driven)])
    table["time"] = np.arange(rows) * period
    for name, values in driven.items():
        table[name] = values
    return table
