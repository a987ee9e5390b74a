"""Whether a network runs at all, before anyone waits for a thousand scenarios of it."""

from __future__ import annotations

from dataclasses import replace

from twin.base import Scenario
from twin.epanet.options import EpanetOptions
from twin.epanet.plant import Instrumented
from twin.epanet.scenario import ScenarioRun
from twin.errors import ScenarioError, TwinError
from twin.schema import Schema

__all__ = ["try_plant"]

_HOURS = 25


def try_plant(plant: Instrumented, schema: Schema, options: EpanetOptions) -> None:
    """Run a network's own demands from the file's levels to the end of the first recorded day.

    Raises TwinError, naming the element, when the hydraulics do not converge or pressure is
    negative where water is drawn.
    """
    where = f"network file {plant.network.path}"
    quiet = replace(options, demand_noise=0.0)
    run = ScenarioRun(plant, schema, quiet, Scenario("trial without events", _HOURS, 0))
    try:
        _, report = run.run()
    except ScenarioError as error:
        raise TwinError(
            f"{where} cannot be simulated: {error}; look at that element in EPANET, or raise "
            "TRIALS or ACCURACY in [OPTIONS]"
        ) from error
    if report.lowest and not options.negative_pressure:
        raise TwinError(
            f"{where} cannot be simulated: without any event {report.lowest}, and no tap can draw "
            "water there; check its supply (pumps, levels, demands), let [OPTIONS] have DEMAND "
            "MODEL PDA, or allow it by the option negative_pressure"
        )
