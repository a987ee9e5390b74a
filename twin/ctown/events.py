"""Everything that can happen to the C-Town plant, and what it can happen to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twin.base import Scenario
from twin.ctown.attacks import ATTACKS
from twin.ctown.faults import FAULTS
from twin.ctown.network import Network
from twin.ctown.plant import SetPoint
from twin.ctown.scada import PUMPS, SCADA, TANK_LINKS, VALVE
from twin.epanet import events
from twin.epanet.effects import Assets, Effect

__all__ = ["ATTACKS", "FAULTS", "KINDS", "check_scenario", "ctown_assets", "kinds_of"]

#: Kind -> effect, attacks first.
KINDS: Mapping[str, type[Effect]] = {**ATTACKS, **FAULTS}

#: Pumps that run in normal operation; the others stand by.
_DUTY_PUMPS = ("PU1", "PU2", "PU4", "PU7", "PU8", "PU10")
#: Tanks whose level switches a pump or the valve.
_CONTROLLED = tuple(tank for tank, links in TANK_LINKS.items() if links)
#: Channel kind -> unit of a fault's size, so that one draw suits levels, flows and pressures.
_SENSOR_SCALE: Mapping[str, float] = {"level": 0.2, "flow": 4.0, "pressure": 2.0}
_SENSORS = tuple(channel for channel in SCADA.channels if channel.kind in _SENSOR_SCALE)


def kinds_of(families: Iterable[str]) -> tuple[str, ...]:
    """Return the event kinds that `families` name, see ``twin.epanet.events.kinds_of``."""
    return events.kinds_of(families, KINDS)


def check_scenario(scenario: Scenario, network: Network) -> None:
    """Raise TwinError unless the scenario can be simulated on `network`."""
    events.check_scenario(scenario, ctown_assets(network, {}), KINDS)


def ctown_assets(network: Network, setpoints: Mapping[str, SetPoint]) -> Assets:
    """Return what events can act on in a C-Town plant with these PLC rules."""
    on_below = {
        tank: [rule.on_below for rule in setpoints.values() if rule.tank == tank]
        for tank in _CONTROLLED
    }
    return Assets(
        tanks=_CONTROLLED,
        pumps=PUMPS,
        duty=_DUTY_PUMPS,
        idle=tuple(pump for pump in PUMPS if pump not in _DUTY_PUMPS),
        valves=(VALVE,),
        switched_valves=(VALVE,),
        junctions=tuple(network.base_demand),
        leaks=tuple(network.shares),
        sensors={channel.name: _SENSOR_SCALE[channel.kind] for channel in _SENSORS},
        lively=tuple(
            c.name for c in _SENSORS if c.kind != "flow" or c.name[2:] in (*_DUTY_PUMPS, VALVE)
        ),
        lowest_on={tank: min(levels, default=1.0) for tank, levels in on_below.items()},
        shift=dict.fromkeys(_CONTROLLED, (0.5, 2.0)),
        loss_lps=(4.0, 20.0),
    )
