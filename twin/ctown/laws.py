"""The C-Town plant's laws: those of ``twin.epanet.laws``, with what its makers say of the plant.

``twin.epanet.derived`` finds the same in a C-Town network file, as a test shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from twin.ctown.network import DMA_TANKS, DmaBoundary, dma_boundaries, network_of
from twin.ctown.plant import PlantModel, SetPoint
from twin.ctown.scada import LINKS, PUMPS, STATION_PRESSURES, TANK_LINKS
from twin.epanet.laws import BALANCE_HOURS, SLOTS, Laws, Readings, Station, slot_before
from twin.errors import TwinError

__all__ = [
    "BALANCE_CHANNELS",
    "BALANCE_HOURS",
    "DMAS",
    "PLC_CHANNELS",
    "PUMP_CHANNELS",
    "SLOTS",
    "STATIONS",
    "PlantLaws",
    "Readings",
    "slot_before",
]

#: Districts, in the order of the balance's columns.
DMAS: tuple[str, ...] = tuple(DMA_TANKS)
#: Tanks that a pump station fills, in the order of the pumps' columns.
STATIONS: tuple[str, ...] = tuple(
    tank for tank, links in TANK_LINKS.items() if any(link in PUMPS for link in links)
)

# The level sensors whose readings make up a district's balance; the first is named in alarms.
_DMA_LEVEL = {"DMA1": "L_T1", "DMA2": "L_T4", "DMA3": "L_T3", "DMA4": "L_T7", "DMA5": "L_T5"}

#: The channel to look at first, per column of what each law finds.
PLC_CHANNELS: tuple[str, ...] = tuple(f"S_{link}" for link in LINKS)
PUMP_CHANNELS: tuple[str, ...] = tuple(f"P_{STATION_PRESSURES[tank][1]}" for tank in STATIONS)
BALANCE_CHANNELS: tuple[str, ...] = tuple(_DMA_LEVEL[name] for name in DMAS)


def _stations() -> dict[str, Station]:
    pumps = {tank: tuple(p for p in TANK_LINKS[tank] if p in PUMPS) for tank in STATIONS}
    return {
        tank: Station(inlet, outlet, pumps[tank])
        for tank in STATIONS
        for inlet, outlet in [STATION_PRESSURES[tank]]
    }


@dataclass(frozen=True, slots=True)
class PlantLaws(Laws):
    """The laws of one C-Town plant; what all such plants share is not stored with them."""

    fills: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: TANK_LINKS)
    stations: Mapping[str, Station] = field(default_factory=_stations)
    links: tuple[str, ...] = LINKS

    @classmethod
    def of(cls, plant: PlantModel) -> PlantLaws:
        """Take what the laws need from a plant and its network file."""
        network = network_of(plant)
        sensors = [node for tank in STATIONS for node in STATION_PRESSURES[tank]]
        return cls(
            rules=dict(plant.setpoints),
            areas={tank: found.area_m2 for tank, found in network.tanks.items()},
            elevations={node: network.elevation[node] for node in sensors},
            curves={pump: plant.pump_curves[pump] for pump in PUMPS},
            noise={name: plant.demands[name].noise_sd for name in DMAS},
            boundaries=dma_boundaries(network),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return plain JSON values."""
        shared = ("fills", "stations", "links")
        return {name: value for name, value in asdict(self).items() if name not in shared}

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> PlantLaws:
        """Inverse of `to_mapping`; TwinError when something is missing."""
        try:
            boundaries = {
                name: DmaBoundary(found["areas"], tuple(found["inflow"]), tuple(found["outflow"]))
                for name, found in plain["boundaries"].items()
            }
            return cls(
                rules={link: SetPoint(**rule) for link, rule in plain["rules"].items()},
                areas=dict(plain["areas"]),
                elevations=dict(plain["elevations"]),
                curves={p: tuple((q, h) for q, h in c) for p, c in plain["curves"].items()},
                noise={name: plain["noise"][name] for name in DMAS},
                boundaries={name: boundaries[name] for name in DMAS},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TwinError(f"not the laws of a C-Town plant: {error!r}") from error
