"""Matplotlib figures as inline SVG: text stays text, colours follow the page's scheme.

A figure is drawn in stand-in colours, which become CSS variables; so one picture serves the light
scheme, the dark one and paper. Series carry a class, by which the page shows and hides them.
"""

from __future__ import annotations

import io
import re
from html import escape

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = [
    "ALARM",
    "EVENT",
    "GRID",
    "INK",
    "MUTED",
    "SERIES_COLOURS",
    "mark_series",
    "new_figure",
    "plain_axes",
    "series_colour",
    "series_dash",
    "to_svg",
]

INK, MUTED, GRID, EVENT, ALARM = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES_COLOURS = 8
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", EVENT: "event", ALARM: "alarm"} | {
    f"#0600{i:02x}": f"series-{i}" for i in range(SERIES_COLOURS)
}
# Colour is never the only mark: neighbours in the legend differ in their dashes too.
_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6)))
_SERIES = "series-of-"


def new_figure(width: float, height: float, measured: bool = True) -> Figure:
    """Return an empty figure of `width` x `height` inches without a background.

    `measured` = margins follow the texts, which takes most of the time of drawing.
    """
    figure = Figure(figsize=(width, height), layout="constrained" if measured else None)
    figure.patch.set_visible(False)
    FigureCanvasSVG(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    """Give axes a grid behind the curves and no box."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(color=MUTED, labelcolor=INK, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(INK)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def series_colour(index: int) -> str:
    """Stand-in colour of series `index` >= 0; they repeat after `SERIES_COLOURS`."""
    return f"#0600{index % SERIES_COLOURS:02x}"


def series_dash(index: int) -> str | tuple[int, tuple[float, ...]]:
    """Line style of series `index`; where colours repeat, dashes do not."""
    return _DASHES[(index + index // SERIES_COLOURS) % len(_DASHES)]


def mark_series(artist: Artist, index: int) -> None:
    """Let the page's legend show and hide this artist as series `index`."""
    artist.set_gid(f"{_SERIES}{index}")


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an <svg> element.

    Parameters
    ----------
    name : letters, digits and hyphens, unique on the page: every id within begins with it.
    title, description : what a reader who does not see the picture is told.
    """
    picture = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dtfl"}):
        figure.savefig(picture, format="svg", metadata=no_metadata)
    text = picture.getvalue()
    text = text[text.index("<svg") :]
    # The page's own font is used, and Matplotlib's style would apply to the whole page.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    text = _in_page_colours(_with_own_ids(_with_series_classes(text), name))
    text = re.sub(r"\n\s*", "\n", _with_short_numbers(text))
    return _with_accessible_name(text, name, title, description).strip()


def _with_series_classes(text: str) -> str:
    return re.sub(rf'<g id="{_SERIES}(\d+)"', r'<g class="series" data-series="\1"', text)


def _with_own_ids(text: str, name: str) -> str:
    """Drop ids that nothing refers to, and make the others unique on the page."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))

    def own(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r' id="([^"]+)"', own, text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)


def _in_page_colours(text: str) -> str:
    def variable(match: re.Match[str]) -> str:
        name = _VARIABLES.get(match[0])
        return match[0] if name is None else f"var(--{name})"

    return re.sub(r"#0[1-6][0-9a-f]{4}\b", variable, text)


def _with_short_numbers(text: str) -> str:
    """Keep a tenth of a point, below 10 points a hundredth: the digits are most of the page."""

    def rounded(match: re.Match[str]) -> str:
        value = float(match[0])
        return f"{value:.{1 if value >= 10 else 2}f}".rstrip("0").rstrip(".")

    def short(match: re.Match[str]) -> str:
        return re.sub(r"\d+\.\d+", rounded, match[0])

    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', short, text)
    return re.sub(r" ?\n(?=[MLCQZ\"])", "", text)


def _with_accessible_name(text: str, name: str, title: str, description: str) -> str:
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    if box is None:
        raise ValueError(f"figure {name}: the SVG has no viewBox")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0]} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body}'
    )
