"""A network with its instruments: which channels it has, and what events can do to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from twin.epanet.concealment import Stations
from twin.epanet.controls import setpoints
from twin.epanet.effects import Assets
from twin.epanet.network import Network, Tank, read_network
from twin.epanet.options import EpanetOptions
from twin.epanet.plc import SetPoint
from twin.epanet.zones import Zones, nearest, zones_of
from twin.errors import TwinError
from twin.schema import Channel, Schema

__all__ = ["Instrumented", "instrument"]

#: Least pressure that an instrument reads: a vacuum, in m of water.
_VACUUM_M = -11.0
#: Head that a pump of constant power may add, in m; its curve has no end.
_POWER_HEAD_M = 200.0
_HOUR_S = 3600.0
#: Size of a sensor's fault: part of a tank's height, part of the network's mean demand, m.
_LEVEL_PART, _FLOW_PART, _PRESSURE_M = 0.04, 0.05, 2.0
#: Least and greatest shift of a threshold that a plan chooses, as part of a tank's height.
_SHIFT = (0.1, 0.4)
#: Least and greatest leak that a plan chooses, as part of the network's mean demand.
_LOSS = (0.02, 0.12)


@dataclass(frozen=True, slots=True)
class Instrumented:
    """A network with its instruments.

    Parameters
    ----------
    network : what is in the file.
    meters : links whose flow and status are recorded.
    pressures : junctions whose pressure is recorded.
    zones : what the meters cut the network into.
    rules : link -> two-point rule of its PLC.
    sensors : meter -> sensed nodes nearest to its two ends, "" where no pipe leads to one.
    fills : tank -> meters that its PLC switches, and those beside them.
    """

    network: Network
    meters: tuple[str, ...]
    pressures: tuple[str, ...]
    zones: Zones
    rules: Mapping[str, SetPoint]
    sensors: Mapping[str, tuple[str, str]]
    fills: Mapping[str, tuple[str, ...]]

    def schema(self, name: str) -> Schema:
        """Return the channels: levels, flow and status per meter, pressures; hourly."""
        levels = [_level(name, tank) for name, tank in self.network.tanks.items()]
        links = [channel for meter in self.meters for channel in self._link(meter)]
        top = _highest_head(self.network)
        pressures = [
            Channel(f"P_{node}", "m", "pressure", _VACUUM_M, top - self.network.elevation[node])
            for node in self.pressures
        ]
        return Schema(name, (*levels, *links, *pressures), _HOUR_S)

    def _link(self, meter: str) -> tuple[Channel, Channel]:
        link = self.network.links[meter]
        low = -0.25 * link.most_lps if link.sort == "PUMP" else -link.most_lps
        return (
            Channel(f"F_{meter}", "L/s", "flow", low, link.most_lps),
            Channel(f"S_{meter}", "1", "status", 0.0, 1.0),
        )

    def stations(self) -> Stations:
        """Return what an attacker conceals together, by tank."""
        ends = {
            tank: tuple(dict.fromkeys(node for meter in meters for node in self.sensors[meter]))
            for tank, meters in self.fills.items()
        }
        sensed = set(self.pressures)
        return Stations(
            self.fills, {t: tuple(n for n in e if n in sensed) for t, e in ends.items()}
        )

    def stand_by(self) -> tuple[str, ...]:
        """Return the meters that start closed and that nothing ever switches."""
        switched, links = self.network.switched(), self.network.links
        return tuple(m for m in self.meters if links[m].closed and m not in switched)

    def assets(self) -> Assets:
        """Return what events can act on, and how large an event is that matters here."""
        tanks = tuple(tank for tank in self.network.tanks if tank in self.network.watched)
        # A pump that follows a pattern of speeds is set by it at every step.
        pumps = tuple(m for m in self._meters("PUMP") if not np.isnan(self._speed(m)))
        idle = tuple(pump for pump in pumps if pump in self.stand_by())
        valves = self._meters("VALVE", "PIPE")
        demand = {node: lps for node, lps in self.network.mean_lps.items() if lps > 0}
        total = sum(demand.values())
        sensors = self._sensors(total)
        resting = {f"F_{meter}" for meter in self.stand_by()}
        return Assets(
            tanks=tanks,
            pumps=pumps,
            duty=tuple(pump for pump in pumps if pump not in idle) or pumps,
            idle=idle or pumps,
            valves=valves,
            switched_valves=tuple(v for v in valves if v in self.network.switched()),
            junctions=tuple(self.network.elevation),
            leaks=tuple(demand),
            sensors=sensors,
            lively=tuple(channel for channel in sensors if channel not in resting),
            lowest_on={tank: self._lowest_on(tank) for tank in tanks},
            shift={tank: _shift(self.network.tanks[tank]) for tank in tanks},
            loss_lps=(_LOSS[0] * total, _LOSS[1] * total),
        )

    def _meters(self, *sorts: str) -> tuple[str, ...]:
        wanted = set(self.network.of_sort(*sorts))
        return tuple(meter for meter in self.meters if meter in wanted)

    def _speed(self, meter: str) -> float:
        return self.network.links[meter].speed

    def _sensors(self, total: float) -> dict[str, float]:
        return {
            **{f"L_{name}": _LEVEL_PART * _height(t) for name, t in self.network.tanks.items()},
            **{f"F_{meter}": _FLOW_PART * total for meter in self.meters},
            **{f"P_{node}": _PRESSURE_M for node in self.pressures},
        }

    def _lowest_on(self, tank: str) -> float:
        levels = [rule.on_below for rule in self.rules.values() if rule.tank == tank]
        known = self.network.tanks[tank]
        return min(levels, default=(known.low + known.high) / 2.0)


def instrument(path: Path, options: EpanetOptions) -> Instrumented:
    """Read a network file and place its instruments; TwinError where they do not fit it.

    Read once per process and state of the file.
    """
    return _instrument(path, options, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _instrument(path: Path, options: EpanetOptions, _changed: int) -> Instrumented:
    network = read_network(path)
    if not max(network.mean_lps.values(), default=0.0) > 0:
        raise TwinError(
            f"network file {path}: sections [JUNCTIONS] and [DEMANDS]: nobody draws water; give "
            "junctions a base demand"
        )
    meters = options.meters or _all_meters(network)
    _check_known(path, "meters", meters, network.links)
    _check_known(path, "pressures", options.pressures, network.elevation)
    pressures = options.pressures or _beside(network, meters)
    rules = {
        link: rule
        for link, rule in setpoints(network.orders, network.units.length).items()
        if link in meters and rule.tank in network.tanks
    }
    sensed = (*pressures, *network.tanks, *network.reservoirs)
    sensors = {m: _ends(network, m, sensed, meters) for m in meters}
    return Instrumented(
        network=network,
        meters=meters,
        pressures=pressures,
        zones=zones_of(network, meters),
        rules=rules,
        sensors=sensors,
        fills=_fills(network, meters, rules, sensors),
    )


def _all_meters(network: Network) -> tuple[str, ...]:
    switched = network.switched()
    pipes = tuple(pipe for pipe in network.of_sort("PIPE") if pipe in switched)
    meters = (*network.of_sort("PUMP"), *network.of_sort("VALVE"), *pipes)
    return meters or _supplies(network)


def _supplies(network: Network) -> tuple[str, ...]:
    """Pipes at reservoirs: where nothing can be switched, what flows in is what can be told."""
    at = network.reservoirs.keys()
    return tuple(name for name, link in network.links.items() if {link.start, link.end} & at)


def _check_known(path: Path, option: str, given: tuple[str, ...], known: Iterable[str]) -> None:
    names = list(known)
    strange = sorted(set(given) - set(names))
    if strange:
        raise TwinError(
            f"network file {path}: option {option} names {strange}, which are not in it; "
            f"expected some of {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        )


def _beside(network: Network, meters: tuple[str, ...]) -> tuple[str, ...]:
    """Junctions at the ends of meters and at the other end of the pipes at tanks."""
    ends = [network.links[m] for m in meters]
    ends += [k for k in network.links.values() if {k.start, k.end} & network.tanks.keys()]
    nodes = dict.fromkeys(node for link in ends for node in (link.start, link.end))
    return tuple(node for node in nodes if node in network.elevation)


def _ends(
    network: Network, meter: str, sensed: tuple[str, ...], meters: tuple[str, ...]
) -> tuple[str, str]:
    link = network.links[meter]
    return (
        nearest(network, link.start, sensed, meters),
        nearest(network, link.end, sensed, meters),
    )


def _fills(
    network: Network,
    meters: tuple[str, ...],
    rules: Mapping[str, SetPoint],
    sensors: Mapping[str, tuple[str, str]],
) -> dict[str, tuple[str, ...]]:
    """Tank -> meters that its level switches, and pumps between the same two sensors as those."""
    fills: dict[str, tuple[str, ...]] = {}
    pumps = set(network.of_sort("PUMP"))
    for tank in network.tanks:
        own = {link for link, rule in rules.items() if rule.tank == tank}
        places = {sensors[link] for link in own & pumps}
        fills[tank] = tuple(
            m
            for m in meters
            if m in own or (m in pumps and m not in rules and sensors[m] in places)
        )
    return fills


def _level(name: str, tank: Tank) -> Channel:
    # A falsified or broken reading may lie somewhat outside the tank.
    height = _height(tank)
    return Channel(f"L_{name}", "m", "level", tank.low - height / 2, tank.high + height / 2)


def _height(tank: Tank) -> float:
    return max(tank.high - tank.low, 0.01)


def _shift(tank: Tank) -> tuple[float, float]:
    return _SHIFT[0] * _height(tank), _SHIFT[1] * _height(tank)


def _highest_head(network: Network) -> float:
    """Head in m above any that pumps can reach: two in a row on top of the highest water."""
    tanks = [tank.elevation + tank.high for tank in network.tanks.values()]
    known = [head for head in network.reservoirs.values() if not np.isnan(head)]
    ground = max(network.elevation.values())
    lifts = [
        network.links[p].curve[0][1] if network.links[p].curve else _POWER_HEAD_M
        for p in network.of_sort("PUMP")
    ]
    return max([*tanks, *known, ground], default=0.0) + 2.0 * max([*lifts, 50.0])
