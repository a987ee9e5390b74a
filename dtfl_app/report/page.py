"""From blocks to one HTML document that refers to nothing outside itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dtfl_app.report.blocks import Section, Tile
from dtfl_app.results.drawing import PAPER, SERIES

__all__ = ["render_page"]

# Switches that the style sheet knows; a page with more series shows the others always.
_SWITCHES = 32


def render_page(
    title: str, subtitle: str, tiles: Sequence[Tile], sections: Sequence[Section]
) -> str:
    """Return the document; all text is escaped, the same arguments give the same bytes.

    Its content security policy lets the browser load nothing and run only the page's own script.
    """
    environment = Environment(
        loader=PackageLoader("dtfl_app.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _asset("page.js")
    text = environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        tiles=tiles,
        sections=sections,
        style=Markup(_asset("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        switches=_SWITCHES,
        colours=SERIES,
        paper=PAPER.by_name(),
    )
    return text if text.endswith("\n") else text + "\n"


def _asset(name: str) -> str:
    return (files("dtfl_app.report") / "templates" / name).read_text(encoding="utf-8").strip()
