"""An EPANET network file: its tanks, links and demands in m and L/s, read as words.

Reading it as words takes milliseconds where WNTR takes a second, and numbers that go back into a
scenario's file are not rounded on the way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twin.epanet.clock import Clock, clock_of
from twin.epanet.controls import Order, orders_of, watched_nodes
from twin.epanet.inpfile import InpRow, Sections, option, read_inp
from twin.epanet.units import Units, units_of
from twin.errors import TwinError

__all__ = ["Demand", "Link", "Network", "Tank", "demand_rows", "patterns_of", "read_network"]

Curve = tuple[tuple[float, float], ...]

#: A pipe is never asked for more; 2 m/s is the usual design limit.
_FASTEST_MS = 10.0


@dataclass(frozen=True, slots=True)
class Tank:
    """A tank: floor's elevation, least and greatest level above it in m, mean section in m2."""

    elevation: float
    low: float
    high: float
    area_m2: float


@dataclass(frozen=True, slots=True)
class Link:
    """A pump, a valve or a pipe.

    Parameters
    ----------
    start, end : nodes; flow counts positive from start to end.
    sort : "PUMP", "PIPE", or a valve's sort, e.g. "PRV".
    length : of a pipe, m.
    most_lps : greatest flow to expect, L/s.
    curve : of a pump at full speed, points (flow in L/s, head gain in m), flow ascending.
    speed : of a pump, relative; NaN where it follows a pattern.
    closed : whether it is closed or off at the start.
    """

    start: str
    end: str
    sort: str
    length: float = 0.0
    most_lps: float = 0.0
    curve: Curve = ()
    speed: float = 1.0
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand of a junction: base as the file has it, and its pattern, "" for none."""

    junction: str
    base: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Network:
    """What the twin needs to know of a network file.

    Parameters
    ----------
    path, sections : the file, and its tables (see ``inpfile``).
    units, clock : the file's units and times.
    tanks : tank -> geometry.
    reservoirs : reservoir -> head in m; NaN where it follows a pattern.
    elevation : junction -> elevation in m.
    links : pump, valve or pipe -> what it is.
    demands : all demands, in file order.
    mean_lps : junction -> mean demand in L/s.
    patterns : pattern -> multipliers.
    orders : what switches links (see ``controls``).
    watched : nodes that a control or a rule depends on.
    """

    path: Path
    sections: Sections
    units: Units
    clock: Clock
    tanks: Mapping[str, Tank]
    reservoirs: Mapping[str, float]
    elevation: Mapping[str, float]
    links: Mapping[str, Link]
    demands: tuple[Demand, ...]
    mean_lps: Mapping[str, float]
    patterns: Mapping[str, tuple[float, ...]]
    orders: tuple[Order, ...]
    watched: frozenset[str]

    def of_sort(self, *sorts: str) -> tuple[str, ...]:
        """Return the links of these sorts, in file order; "VALVE" stands for all valves."""
        return tuple(
            name
            for name, link in self.links.items()
            if link.sort in sorts or ("VALVE" in sorts and link.sort not in ("PUMP", "PIPE"))
        )

    def switched(self) -> set[str]:
        """Return the links that a control or a rule switches."""
        return {order.link for order in self.orders}


def read_network(path: Path) -> Network:
    """Read a network file that EPANET takes (see ``opening``); TwinError where it cannot be."""
    sections = read_inp(path)
    try:
        units = units_of(sections)
        demands, patterns = tuple(demand_rows(sections)), patterns_of(sections)
        return Network(
            path=path,
            sections=sections,
            units=units,
            clock=clock_of(sections),
            tanks={r[0]: _tank(r, sections, units) for r in sections.get("TANKS", ())},
            reservoirs={r[0]: _head(r, units) for r in sections.get("RESERVOIRS", ())},
            elevation={r[0]: _number(r, 1) * units.length for r in sections["JUNCTIONS"]},
            links=_links(sections, units),
            demands=demands,
            mean_lps=_means(sections, demands, patterns, units),
            patterns=patterns,
            orders=orders_of(sections),
            watched=frozenset(watched_nodes(sections)),
        )
    except (ValueError, IndexError, KeyError) as error:
        raise TwinError(
            f"network file {path}: EPANET takes it, but a row cannot be read here ({error}); open "
            "the file in EPANET and export it anew"
        ) from error


def demand_rows(sections: Sections) -> list[Demand]:
    """Return every demand: rows of [DEMANDS], which replace a junction's own, then those of others.

    A demand without a pattern has that of [OPTIONS], "1" where none is named.
    """
    rows = [(row[0], row[1:]) for row in sections.get("DEMANDS", ())]
    replaced = {node for node, _ in rows}
    rows += [(row[0], row[2:]) for row in sections["JUNCTIONS"] if row[0] not in replaced]
    usual = option(sections, "PATTERN", "1")
    usual = usual if usual in patterns_of(sections) else ""
    return [
        Demand(node, words[0], words[1] if len(words) > 1 else usual)
        for node, words in rows
        if words
    ]


def patterns_of(sections: Sections) -> dict[str, tuple[float, ...]]:
    """Return pattern -> multipliers."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in sections.get("PATTERNS", ()):
        values[row[0]] += [float(word) for word in row[1:]]
    return {name: tuple(multipliers) for name, multipliers in values.items()}


def _number(row: InpRow, column: int, default: float = 0.0) -> float:
    return float(row[column]) if len(row) > column else default


def _tank(row: InpRow, sections: Sections, units: Units) -> Tank:
    low, high = (_number(row, column) * units.length for column in (3, 4))
    area = math.pi / 4.0 * (_number(row, 5) * units.length) ** 2
    if len(row) > 7 and row[7] != "*":
        points = _points(sections, row[7])
        (first, empty), (last, full) = points[0], points[-1]
        area = (full - empty) * units.volume / ((last - first) * units.length)
    return Tank(_number(row, 1) * units.length, low, high, area)


def _head(row: InpRow, units: Units) -> float:
    return float(row[1]) * units.length if len(row) < 3 else math.nan


def _points(sections: Sections, curve: str) -> Curve:
    rows = [row for row in sections.get("CURVES", ()) if row[0] == curve]
    numbers = [[float(word) for word in row[1:]] for row in rows]
    return tuple(pair for r in numbers for pair in zip(r[::2], r[1::2], strict=False))


def _links(sections: Sections, units: Units) -> dict[str, Link]:
    state = {row[0]: row[1].upper() for row in sections.get("STATUS", ())}
    reach = _reach(sections, units)
    links: dict[str, Link] = {}
    for row in sections.get("PIPES", ()):
        word = state.get(row[0], row[-1].upper() if len(row) > 6 else "")
        most = _capacity(_number(row, 4), units)
        length = float(row[3]) * units.length
        links[row[0]] = Link(row[1], row[2], "PIPE", length, most, closed=word == "CLOSED")
    for row in sections.get("PUMPS", ()):
        links[row[0]] = _pump(row, sections, units, max(reach[row[1]], reach[row[2]]))
    for row in sections.get("VALVES", ()):
        most, closed = _capacity(_number(row, 3), units), state.get(row[0]) == "CLOSED"
        links[row[0]] = Link(row[1], row[2], row[4].upper(), 0.0, most, closed=closed)
    return links


def _pump(row: InpRow, sections: Sections, units: Units, reach: float) -> Link:
    keys = {word.upper(): value for word, value in zip(row[3::2], row[4::2], strict=False)}
    points = _points(sections, keys["HEAD"]) if "HEAD" in keys else ()
    curve = _head_curve(tuple((q * units.flow, h * units.length) for q, h in points))
    state = {r[0]: r[1].upper() for r in sections.get("STATUS", ())}.get(row[0], "OPEN")
    speed = float(keys.get("SPEED", "1"))
    if state not in ("OPEN", "CLOSED"):
        speed, state = float(state), "OPEN" if float(state) > 0 else "CLOSED"
    speed = math.nan if "PATTERN" in keys else speed
    most = 2.0 * curve[-1][0] if curve else reach
    return Link(row[1], row[2], "PUMP", 0.0, most, curve, speed, state == "CLOSED")


def _head_curve(points: Curve) -> Curve:
    """One point stands for three: EPANET takes 4/3 of its head at no flow, and none at twice."""
    if len(points) != 1:
        return points
    ((flow, head),) = points
    return ((0.0, 4.0 / 3.0 * head), (flow, head), (2.0 * flow, 0.0))


def _capacity(diameter: float, units: Units) -> float:
    """Flow in L/s at `_FASTEST_MS`; diameters are in inches in US files, else in mm."""
    metres = diameter * (0.0254 if units.length != 1.0 else 0.001)
    return _FASTEST_MS * math.pi / 4.0 * metres**2 * 1000.0


def _reach(sections: Sections, units: Units) -> dict[str, float]:
    """Node -> capacity of the widest pipe that ends there, L/s."""
    widest: dict[str, float] = defaultdict(float)
    for row in sections.get("PIPES", ()):
        for node in row[1:3]:
            widest[node] = max(widest[node], _capacity(_number(row, 4), units))
    return widest


def _means(
    sections: Sections,
    demands: tuple[Demand, ...],
    patterns: Mapping[str, tuple[float, ...]],
    units: Units,
) -> dict[str, float]:
    factor = float(option(sections, "DEMAND MULTIPLIER", "1")) * units.flow
    means = {row[0]: 0.0 for row in sections["JUNCTIONS"]}
    for demand in demands:
        multipliers = patterns.get(demand.pattern, (1.0,))
        means[demand.junction] += factor * float(demand.base) * sum(multipliers) / len(multipliers)
    return means
