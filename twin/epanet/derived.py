"""The laws of a network, found in its file: what PLCs switch, what pumps lift, what zones hold."""

from __future__ import annotations

import math

from twin.epanet.laws import Laws, Station
from twin.epanet.network import Network
from twin.epanet.options import EpanetOptions
from twin.epanet.plant import Instrumented

__all__ = ["derive_laws"]


def derive_laws(plant: Instrumented, options: EpanetOptions) -> Laws:
    """Return the laws that hold in a network's normal operation, from what its meters record.

    - PLC logic: of links with a two-point rule on a tank's level, and of those that start closed
      and that nothing switches.
    - Pump curve: of pumps at full speed with a head curve, between the sensors nearest to their
      ends.
    - Water balance: of zones whose borders are all metered.
    """
    network, stations = plant.network, _stations(plant)
    return Laws(
        rules=plant.rules,
        areas={name: tank.area_m2 for name, tank in network.tanks.items()},
        elevations={
            node: _elevation(network, node)
            for station in stations.values()
            for node in (station.inlet, station.outlet)
        },
        curves={p: network.links[p].curve for station in stations.values() for p in station.pumps},
        noise=dict.fromkeys(plant.zones.boundaries, options.demand_noise),
        boundaries=plant.zones.boundaries,
        fills=plant.fills,
        stations=stations,
        links=tuple(m for m in plant.meters if m in plant.rules or m in plant.stand_by()),
    )


def _stations(plant: Instrumented) -> dict[str, Station]:
    """Station per pair of sensors, named after its first pump."""
    between: dict[tuple[str, str], list[str]] = {}
    for meter in plant.meters:
        link, ends = plant.network.links[meter], plant.sensors[meter]
        known = all(node and not math.isnan(_elevation(plant.network, node)) for node in ends)
        if link.curve and link.speed == 1.0 and known:
            between.setdefault(ends, []).append(meter)
    return {pumps[0]: Station(*ends, tuple(pumps)) for ends, pumps in between.items()}


def _elevation(network: Network, node: str) -> float:
    if node in network.tanks:
        return network.tanks[node].elevation
    return network.reservoirs.get(node, network.elevation.get(node, math.nan))
