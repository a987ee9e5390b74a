"""Matplotlib figures as inline SVG: text stays text, colours follow the page's scheme.

A figure is drawn in stand-in colours, which become CSS variables; so one picture serves the light
scheme, the dark one and paper. Series carry a class, by which the page shows and hides them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure

from dtfl_app.results.drawing import MARK, SERIES, Palette

__all__ = ["PAGE", "to_svg"]

#: Stand-ins for the colours of a page, which follow its scheme.
PAGE = Palette(
    ink="#010101", muted="#020202", grid="#030303", event="#040404", alarm="#050505",
    series=tuple(f"#0600{i:02x}" for i in range(SERIES)),
)  # fmt: skip
_VARIABLES = {colour: f"var(--{name})" for name, colour in PAGE.by_name().items()}

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ET.register_namespace("", _SVG)
ET.register_namespace("xlink", _XLINK)
_HREF = f"{{{_XLINK}}}href"
# Attributes with coordinates, whose digits are most of the page.
_COORDINATES = ("d", "x", "y", "transform")


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure, drawn in the colours of `PAGE`, as an <svg> element.

    Parameters
    ----------
    name : letters, digits and hyphens, unique on the page: every id within begins with it.
    title, description : what a reader who does not see the picture is told.
    """
    picture = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dtfl"}):
        figure.savefig(picture, format="svg", metadata=no_metadata)
    root = ET.fromstring(picture.getvalue())
    _drop_styles(root)
    used = {target for element in root.iter() for _, target in _references(element)}
    for element in root.iter():
        _mark_or_name(element, used, name)
        _simplify(element)
    _tell(root, name, title, description)
    return ET.tostring(root, encoding="unicode")


def _drop_styles(root: ET.Element) -> None:
    """The page's own font is used, and Matplotlib's style would apply to the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"):
                parent.remove(child)


def _references(element: ET.Element) -> Iterator[tuple[str, str]]:
    """Yield the attributes of an element that name another, and the id they name."""
    for key in (_HREF, "clip-path"):
        if found := re.search(r"#([^)]+)", element.get(key, "")):
            yield key, found[1]


def _mark_or_name(element: ET.Element, used: set[str], name: str) -> None:
    """Give a series its class, drop ids that nothing refers to, make the others the page's only."""
    own = element.attrib.pop("id", "")
    if own.startswith(MARK):
        element.attrib |= {"class": "series", "data-series": own.removeprefix(MARK)}
    elif own in used:
        element.set("id", f"{name}-{own}")
    for key, target in _references(element):
        element.set(key, element.attrib[key].replace(f"#{target}", f"#{name}-{target}"))


def _simplify(element: ET.Element) -> None:
    """Take colours and font from the page, and drop digits and spaces that nobody sees."""
    for key in _COORDINATES:
        if key in element.attrib:
            text = re.sub(r"\d+\.\d+", _short, element.attrib[key])
            # A line end within an attribute is read as a space.
            element.set(key, text.replace("  ", "").strip())
    if style := element.get("style"):
        parts = [part for part in style.split("; ") if not part.startswith("font-family:")]
        element.set("style", "; ".join(map(_in_page_colours, parts)))
    element.tail = "\n" if (element.tail or "").isspace() else element.tail
    element.text = "\n" if (element.text or "").isspace() else element.text


def _in_page_colours(declaration: str) -> str:
    name, colon, value = declaration.partition(": ")
    return f"{name}{colon}{_VARIABLES.get(value, value)}"


def _short(number: re.Match[str]) -> str:
    """Keep a tenth of a point, below 10 points a hundredth."""
    value = float(number[0])
    return f"{value:.{1 if value >= 10 else 2}f}".rstrip("0").rstrip(".")


def _tell(root: ET.Element, name: str, title: str, description: str) -> None:
    """Let the page size the picture, and give it a name for readers who do not see it."""
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {
        "viewBox": box,
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
    }
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        told.text = text
        root.insert(place, told)
