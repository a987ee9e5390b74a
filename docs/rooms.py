"""Draw the rooms of the code and who imports whom: ``python docs/rooms.py`` writes docs/rooms.svg.

A room stands above all rooms that it imports. Dark arrows are those that no other way implies,
pale ones the rest; a click on nothing is needed: every arrow says on hovering how many imports it
stands for. The graph is that of import-linter, so picture and contracts cannot differ.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp
import networkx as nx

WIDTH, BOX, HIGH, GAP = 1180, 132, 46, 62
SVG = "http://www.w3.org/2000/svg"
ROOT = Path(__file__).resolve().parents[1]


def room_of(module: str) -> str:
    """Room that a module stands in: a package of dtfl_app, or the twin as a whole."""
    parts = module.split(".")
    return parts[0] if parts[0] == "twin" else parts[min(1, len(parts) - 1)]


def rooms() -> nx.DiGraph:
    """Return the graph of rooms: lines per room, imports per arrow."""
    modules = grimp.build_graph("dtfl_app", "twin", cache_dir=None)
    arrows: Counter[tuple[str, str]] = Counter()
    for module in modules.modules:
        for imported in modules.find_modules_directly_imported_by(module):
            arrows[room_of(module), room_of(imported)] += 1
    graph = nx.DiGraph()
    for room in sorted({room_of(module) for module in modules.modules} - {"dtfl_app"}):
        folder = ROOT / room if room == "twin" else ROOT / "dtfl_app" / room
        lines = sum(len(file.read_text().splitlines()) for file in folder.rglob("*.py"))
        graph.add_node(room, lines=lines)
    for (start, end), imports in sorted(arrows.items()):
        if start != end and "dtfl_app" not in (start, end):
            graph.add_edge(start, end, imports=imports)
    return graph


def floors(graph: nx.DiGraph) -> list[list[str]]:
    """Return the rooms floor by floor, from the ground up; NetworkXUnfeasible for a circle."""
    level: dict[str, int] = {}
    for room in reversed(list(nx.lexicographical_topological_sort(graph))):
        level[room] = 1 + max((level[below] for below in graph.successors(room)), default=-1)
    return [
        sorted(room for room in level if level[room] == floor)
        for floor in range(max(level.values()) + 1)
    ]


def places(storeys: Iterable[list[str]]) -> dict[str, tuple[float, float]]:
    """Return the middle of each room's box."""
    storeys = list(storeys)
    found = {}
    for floor, names in enumerate(storeys):
        step = WIDTH / (len(names) + 1)
        # Rooms of neighbouring floors stand beside each other, so arrows pass between them.
        shift = step / 6 * (-1 if floor % 2 else 1)
        for n, name in enumerate(names, start=1):
            found[name] = (
                n * step + shift,
                40 + (len(storeys) - 1 - floor) * (HIGH + GAP) + HIGH / 2,
            )
    return found


def draw(graph: nx.DiGraph) -> str:
    """Return the picture as SVG."""
    storeys = floors(graph)
    at = places(storeys)
    height = 40 + len(storeys) * (HIGH + GAP)
    svg = ET.Element("svg", xmlns=SVG, viewBox=f"0 0 {WIDTH} {height}", width=str(WIDTH))
    svg.set("font-family", "sans-serif")
    _add(svg, "rect", {"width": WIDTH, "height": height, "fill": "#ffffff"})
    needed = set(nx.transitive_reduction(graph).edges)
    for start, end, imports in sorted(graph.edges(data="imports"), key=lambda e: e[:2] in needed):
        _arrow(svg, at[start], at[end], f"{start} → {end}: {imports}", (start, end) in needed)
    for name, (x, y) in at.items():
        _box(svg, name, x, y, graph.nodes[name]["lines"])
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _arrow(
    svg: ET.Element, start: tuple[float, float], end: tuple[float, float], title: str, dark: bool
) -> None:
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + HIGH / 2, to_y - HIGH / 2
    bend = (to_y - y) / 2
    style = {"stroke": "#33475b", "stroke-width": 1.4} if dark else {"stroke": "#d5dbe1"}
    path = f"M{x:.0f} {y:.0f} C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} "
    path += f"{to_x:.0f} {to_y:.0f}"
    line = _add(svg, "path", {"d": path, "fill": "none", **style})
    _add(line, "title", {}, title)
    if dark:
        head = (
            f"M{to_x - 4:.0f} {to_y - 8:.0f} L{to_x:.0f} {to_y:.0f} L{to_x + 4:.0f} {to_y - 8:.0f}"
        )
        _add(svg, "path", {"d": head, "fill": "none", **style})


def _box(svg: ET.Element, name: str, x: float, y: float, lines: int) -> None:
    corner = {"x": f"{x - BOX / 2:.0f}", "y": f"{y - HIGH / 2:.0f}", "rx": 6}
    colour = {"fill": "#eaf2ea" if name == "twin" else "#eef3f9", "stroke": "#33475b"}
    _add(svg, "rect", {**corner, "width": BOX, "height": HIGH, **colour})
    middle = {"x": f"{x:.0f}", "text-anchor": "middle", "fill": "#14202b"}
    _add(svg, "text", {**middle, "y": f"{y - 2:.0f}", "font-size": 15}, name)
    _add(
        svg,
        "text",
        {**middle, "y": f"{y + 15:.0f}", "font-size": 11},
        f"{lines / 1000:.1f}k lines",
    )


def _add(
    parent: ET.Element, tag: str, attributes: Mapping[str, object], text: str = ""
) -> ET.Element:
    child = ET.SubElement(parent, tag, {key: str(value) for key, value in attributes.items()})
    child.text = text or None
    return child


if __name__ == "__main__":
    (ROOT / "docs" / "rooms.svg").write_text(draw(rooms()))
