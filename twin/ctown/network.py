"""The C-Town network file: where it is, and what follows from its pipes alone.

District metered areas (DMAs) are not written in the file. They are the connected components of the
pipe graph once pumps and the throttle valve are taken out; areas behind a pressure-reducing valve
belong to the area that feeds them.

The file is read as words (``inpfile``), which writing a scenario needs anyway. WNTR reads the same
network from it, as a test shows, but importing WNTR takes over a second in every process that knows
a plant's laws, this 5 ms; and its way to m3/s and back moves the last digit of some demands, and
with it the fingerprint of a plant, by which simulated data is found again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from twin.ctown.plant import PlantModel
from twin.ctown.scada import LINKS, PRESSURE_NODES, PUMPS, TANKS, VALVE
from twin.epanet.inpfile import InpRow, Sections, option, read_inp
from twin.epanet.zones import Boundary as DmaBoundary
from twin.errors import TwinError

__all__ = [
    "DMA_TANKS",
    "DmaBoundary",
    "Network",
    "Tank",
    "ctown_file",
    "demand_categories",
    "dma_boundaries",
    "load_network",
    "network_of",
]

_EMBEDDED = "networks/asce-tf-wdst/Battle of the Calibration Networks System.inp"

#: DMA -> the tanks in it.
DMA_TANKS: Mapping[str, frozenset[str]] = {
    "DMA1": frozenset({"T1", "T2"}),
    "DMA2": frozenset({"T4"}),
    "DMA3": frozenset({"T3"}),
    "DMA4": frozenset({"T6", "T7"}),
    "DMA5": frozenset({"T5"}),
}


@dataclass(frozen=True, slots=True)
class Tank:
    """A cylindrical tank: cross-section in m2, highest level in m above its floor."""

    area_m2: float
    max_level: float


@dataclass(frozen=True, slots=True)
class Network:
    """What the twin needs to know of a C-Town network file.

    Parameters
    ----------
    path : the file.
    sections : its tables (see ``inpfile``).
    tanks : tank -> geometry.
    elevation : junction or tank -> elevation in m; pressure + elevation = hydraulic head.
    ends : pump or valve -> (start node, end node); flow counts positive from start to end.
    dma : junction or tank -> DMA name, "" for the source and the mains outside all DMAs.
    base_demand : junction -> base demand of the file in L/s, times its pattern's mean.
    shares : junction -> share of its DMA's demand, > 0, adding up to 1 per DMA.
    """

    path: Path
    sections: Sections
    tanks: Mapping[str, Tank]
    elevation: Mapping[str, float]
    ends: Mapping[str, tuple[str, str]]
    dma: Mapping[str, str]
    base_demand: Mapping[str, float]
    shares: Mapping[str, float]

    def dma_feeds(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """Return DMA -> ((pump or V2, sign), ...) of the metered links across its border.

        sign +1: the link's flow enters the DMA; -1: it leaves. The mass balance of a DMA is
        demand = sum of sign * flow - sum over its tanks of area * d(level)/dt. What DMA1 loses
        through V2 comes back inside it, so V2 does not occur.
        """
        feeds: dict[str, list[tuple[str, int]]] = {name: [] for name in DMA_TANKS}
        for link in LINKS:
            start, end = (self.dma[node] for node in self.ends[link])
            if start != end:
                feeds.get(end, []).append((link, 1))
                feeds.get(start, []).append((link, -1))
        return {name: tuple(links) for name, links in feeds.items()}


def dma_boundaries(network: Network) -> dict[str, DmaBoundary]:
    """Return the boundary of every DMA of a network."""
    return {
        name: DmaBoundary(
            areas={tank: network.tanks[tank].area_m2 for tank in sorted(DMA_TANKS[name])},
            inflow=tuple(link for link, sign in feeds if sign > 0),
            outflow=tuple(link for link, sign in feeds if sign < 0),
        )
        for name, feeds in network.dma_feeds().items()
    }


def ctown_file(plant: PlantModel) -> Path:
    """Return the plant's network file; raise TwinError when it is not there."""
    if plant.network:
        path = Path(plant.network)
        if not path.is_file():
            raise TwinError(
                f"network file {path}: does not exist; give the path of a C-Town EPANET file "
                "in 'twin.network', or leave it empty for the embedded one"
            )
        return path
    # find_spec locates the wheel without running it: importing epyt takes seconds.
    spec = find_spec("epyt")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        path = Path(folder) / _EMBEDDED
        if path.is_file():
            return path
    raise TwinError(
        f"the embedded C-Town file is missing: no {_EMBEDDED!r} in package 'epyt'; "
        "install epyt >= 2.3, or name a C-Town file in 'twin.network'"
    )


def network_of(plant: PlantModel) -> Network:
    """Return the network of a plant; TwinError when its file is missing or is not C-Town."""
    return load_network(ctown_file(plant))


def load_network(path: Path) -> Network:
    """Read and check a C-Town network file; TwinError when it is not one."""
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _load(path: Path, _changed: int) -> Network:
    sections = read_inp(path)
    _check_ctown(path, sections)
    try:
        dma = _name_dmas(path, sections)
        base = _base_demand(sections)
        return Network(
            path=path,
            sections=sections,
            tanks={row[0]: _tank(row) for row in sections["TANKS"]},
            elevation={
                row[0]: float(row[1]) for row in (*sections["JUNCTIONS"], *sections["TANKS"])
            },
            ends={row[0]: (row[1], row[2]) for row in _links(sections, "PUMPS", "VALVES")},
            dma=dma,
            base_demand=base,
            shares=_shares(sections, dma, base),
        )
    except (ValueError, IndexError, KeyError) as error:
        raise TwinError(f"network file {path}: a row cannot be read ({error})") from error


def _tank(row: InpRow) -> Tank:
    return Tank(area_m2=math.pi / 4.0 * float(row[5]) ** 2, max_level=float(row[4]))


def _links(sections: Sections, *names: str) -> list[InpRow]:
    return [row for name in names for row in sections.get(name, ())]


def _check_ctown(path: Path, sections: Sections) -> None:
    wanted = {
        "TANKS": set(TANKS),
        "PUMPS": set(PUMPS),
        "VALVES": {VALVE},
        "JUNCTIONS": set(PRESSURE_NODES),
    }
    for section, names in wanted.items():
        missing = sorted(names - {row[0] for row in sections.get(section, ())})
        if missing:
            raise TwinError(
                f"network file {path}: not C-Town, section [{section}] lacks {missing}; "
                "give another file in 'twin.network'"
            )
    units = option(sections, "UNITS", "GPM").upper()
    if units != "LPS":
        raise TwinError(f"network file {path}: flow units are {units}, expected LPS")
    _check_hydraulics(path, sections)


def _check_hydraulics(path: Path, sections: Sections) -> None:
    """The twin simulates water by Hazen-Williams: numbers for another law mean something else."""
    formula = _begins(sections, "HEADL", "H-W").upper()
    if formula != "H-W":
        raise TwinError(
            f"network file {path}: [OPTIONS] HEADLOSS is {formula}, expected H-W: the roughness of "
            "each pipe would be taken for Hazen-Williams' coefficient; convert the file, e.g. in "
            "EPANET, and save it with H-W"
        )
    gravity = _begins(sections, "SPEC", "1")
    try:
        water = float(gravity) == 1.0
    except ValueError:
        water = False
    if not water:
        raise TwinError(
            f"network file {path}: [OPTIONS] SPECIFIC GRAVITY is {gravity}, expected 1: pressures "
            "are those of water in m; set it to 1"
        )


def _connected_areas(sections: Sections) -> list[set[str]]:
    """The node sets connected by pipes and pressure-reducing valves."""
    neighbours: dict[str, list[str]] = {
        row[0]: [] for row in _links(sections, "JUNCTIONS", "RESERVOIRS", "TANKS")
    }
    reducing = [row for row in sections["VALVES"] if row[4].upper() == "PRV"]
    for row in (*sections["PIPES"], *reducing):
        neighbours[row[1]].append(row[2])
        neighbours[row[2]].append(row[1])
    areas: list[set[str]] = []
    seen: set[str] = set()
    for node in neighbours:
        if node not in seen:
            areas.append(_reachable(node, neighbours))
            seen |= areas[-1]
    return areas


def _reachable(start: str, neighbours: Mapping[str, Iterable[str]]) -> set[str]:
    found, stack = {start}, [start]
    while stack:
        fresh = [node for node in neighbours[stack.pop()] if node not in found]
        found.update(fresh)
        stack.extend(fresh)
    return found


def _name_dmas(path: Path, sections: Sections) -> dict[str, str]:
    """Return node -> DMA; an area without a tank is outside all DMAs: ""."""
    names: dict[str, str] = {}
    for area in _connected_areas(sections):
        tanks = frozenset(area & set(TANKS))
        name = next((dma for dma, wanted in DMA_TANKS.items() if wanted == tanks), "")
        if tanks and not name:
            raise TwinError(
                f"network file {path}: not C-Town, tanks {sorted(tanks)} are in one area"
            )
        names.update(dict.fromkeys(area, name))
    return names


def demand_categories(sections: Sections) -> list[tuple[str, float, tuple[float, ...]]]:
    """Return (junction, base demand in L/s, multipliers per pattern step) of every demand.

    Rows of [DEMANDS] replace a junction's own demand. A demand without a pattern has that of
    [OPTIONS], "1" where none is named, and where there is no such pattern one multiplier, 1.
    """
    rows = [(row[0], row[1:]) for row in sections.get("DEMANDS", ())]
    replaced = {node for node, _ in rows}
    rows += [(row[0], row[2:]) for row in sections["JUNCTIONS"] if row[0] not in replaced]
    factor = float(option(sections, "DEMAND MULTIPLIER", "1"))
    known = _patterns(sections)
    usual = known.get(option(sections, "PATTERN", "1"), (1.0,))
    return [
        (node, factor * float(words[0]), known[words[1]] if len(words) > 1 else usual)
        for node, words in rows
        if words
    ]


def _begins(sections: Sections, word: str, default: str) -> str:
    """Value of the option that begins with `word`, which is all that EPANET looks at."""
    rows = [row for row in sections.get("OPTIONS", ()) if row[0].upper().startswith(word)]
    return rows[-1][-1] if rows else default


def _patterns(sections: Sections) -> dict[str, tuple[float, ...]]:
    values: dict[str, list[float]] = defaultdict(list)
    for row in sections.get("PATTERNS", ()):
        values[row[0]] += [float(word) for word in row[1:]]
    return {name: tuple(multipliers) for name, multipliers in values.items()}


def _base_demand(sections: Sections) -> dict[str, float]:
    demand = {row[0]: 0.0 for row in sections["JUNCTIONS"]}
    for node, base, multipliers in demand_categories(sections):
        demand[node] += base * sum(multipliers) / len(multipliers)
    return demand


def _shares(
    sections: Sections, dma: Mapping[str, str], base: Mapping[str, float]
) -> dict[str, float]:
    """Spread each DMA's demand over its junctions.

    In proportion to the file's base demands; where a DMA has none, in proportion to half the
    length of the pipes that end at the junction (houses stand along pipes).
    """
    length: dict[str, float] = defaultdict(float)
    for row in sections["PIPES"]:
        for node in row[1:3]:
            length[node] += float(row[3]) / 2.0
    shares: dict[str, float] = {}
    for name in DMA_TANKS:
        nodes = [node for node in base if dma[node] == name]
        weights = {node: base[node] for node in nodes if base[node] > 0}
        weights = weights or {node: length[node] for node in nodes}
        total = sum(weights.values())
        shares |= {node: weight / total for node, weight in weights.items()}
    return shares
