"""Zones of a network: what its meters cut it into, and what their readings say of each."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from twin.epanet.network import Network

__all__ = ["Boundary", "Zones", "nearest", "zones_of"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where water enters, leaves and is stored in one zone.

    Parameters
    ----------
    areas : tank -> cross-section in m2.
    inflow, outflow : pumps and valves through which water comes in and goes out.
    """

    areas: Mapping[str, float]
    inflow: tuple[str, ...]
    outflow: tuple[str, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """All links that cross the boundary."""
        return self.inflow + self.outflow


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of a network whose balance its meters close.

    Parameters
    ----------
    of_node : node -> its zone, named after its tanks or its first junction; "" = none, because a
        reservoir feeds the area without a meter, or nobody draws water there.
    boundaries : zone -> its boundary.
    """

    of_node: Mapping[str, str]
    boundaries: Mapping[str, Boundary]


def zones_of(network: Network, meters: Iterable[str]) -> Zones:
    """Cut a network at the links that `meters` names, whose flows are recorded."""
    metered = tuple(meters)
    of_node: dict[str, str] = {}
    for area in _areas(network, set(metered)):
        of_node.update(dict.fromkeys(area, _name(network, area)))
    crossing = [
        (m, of_node[network.links[m].start], of_node[network.links[m].end]) for m in metered
    ]
    boundaries = {
        zone: Boundary(
            {t: network.tanks[t].area_m2 for t in sorted(network.tanks) if of_node[t] == zone},
            tuple(m for m, start, end in crossing if end == zone != start),
            tuple(m for m, start, end in crossing if start == zone != end),
        )
        for zone in dict.fromkeys(filter(None, of_node.values()))
    }
    # A zone that no metered link crosses is fed by nothing: there is no balance to hold.
    return Zones(of_node, {zone: found for zone, found in boundaries.items() if found.links})


def nearest(network: Network, node: str, sensed: Iterable[str], meters: Iterable[str]) -> str:
    """Return the sensed node that is nearest to a node along pipes, "" if none is reached."""
    wanted, neighbours = set(sensed), _neighbours(network, set(meters))
    best, queue = {node: 0.0}, [(0.0, node)]
    while queue:
        far, here = heapq.heappop(queue)
        if here in wanted:
            return here
        for there, length in neighbours[here]:
            if far + length < best.get(there, math.inf):
                best[there] = far + length
                heapq.heappush(queue, (best[there], there))
    return ""


def _neighbours(network: Network, metered: set[str]) -> dict[str, list[tuple[str, float]]]:
    nodes = (*network.elevation, *network.reservoirs, *network.tanks)
    found: dict[str, list[tuple[str, float]]] = {node: [] for node in nodes}
    for name, link in network.links.items():
        if name not in metered:
            found[link.start].append((link.end, link.length))
            found[link.end].append((link.start, link.length))
    return found


def _areas(network: Network, metered: set[str]) -> list[list[str]]:
    neighbours = _neighbours(network, metered)
    areas: list[list[str]] = []
    seen: set[str] = set()
    for node in neighbours:
        if node in seen:
            continue
        area, stack = [node], [node]
        seen.add(node)
        while stack:
            for there, _ in neighbours[stack.pop()]:
                if there not in seen:
                    seen.add(there)
                    area.append(there)
                    stack.append(there)
        areas.append(area)
    return areas


def _name(network: Network, area: list[str]) -> str:
    inside = set(area)
    tanks = [tank for tank in network.tanks if tank in inside]
    drawn = any(network.mean_lps.get(node, 0.0) > 0 for node in area)
    if inside & set(network.reservoirs) or not (tanks or drawn):
        return ""
    return "+".join(tanks) or area[0]
