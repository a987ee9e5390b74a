"""How pictures look, whatever they show and wherever they go: a file of their own, or a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from twin.files import write_atomically

__all__ = [
    "MARK",
    "PAPER",
    "SERIES",
    "Palette",
    "draw_curve",
    "draw_target",
    "label_rounds",
    "mark_series",
    "new_figure",
    "plain_axes",
    "save_png",
    "series_dash",
]

#: Colours before they repeat.
SERIES = 8
#: Before the number of a series, in the group id of its artists.
MARK = "series-of-"
_DPI = 130
# Colour is never the only mark: neighbours in the legend differ in their dashes too.
_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6)))


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a picture.

    Parameters
    ----------
    ink, muted, grid, event, alarm : of texts, what is beside the point, lines behind the curves,
        times with an event, alarms.
    series : of what is compared, `SERIES` of them.
    """

    ink: str
    muted: str
    grid: str
    event: str
    alarm: str
    series: tuple[str, ...]

    def colour(self, index: int) -> str:
        """Colour of series `index` >= 0."""
        return self.series[index % SERIES]

    def by_name(self) -> dict[str, str]:
        """Name -> colour; the series are series-0, series-1 and so on."""
        return {
            **{name: getattr(self, name) for name in ("ink", "muted", "grid", "event", "alarm")},
            **{f"series-{i}": colour for i, colour in enumerate(self.series)},
        }


#: On white; the page's light scheme.
PAPER = Palette(
    ink="#1b2330", muted="#5d6878", grid="#e3e7ec", event="#f3d9a4", alarm="#c4380d",
    series=(
        "#4a5565", "#0072b2", "#d55e00", "#00845f", "#b2518a", "#b07a00", "#2f93c8", "#6b3fa0",
    ),
)  # fmt: skip


def new_figure(width: float, height: float, measured: bool = True) -> Figure:
    """Return an empty figure of `width` x `height` inches without a background.

    `measured` = margins follow the texts, which takes most of the time of drawing.
    """
    figure = Figure(figsize=(width, height), layout="constrained" if measured else None)
    figure.patch.set_visible(False)
    return figure


def plain_axes(axes: Axes, palette: Palette) -> None:
    """Give axes a grid behind the curves and no box."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.muted)
    axes.tick_params(color=palette.muted, labelcolor=palette.ink, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(palette.ink)
    axes.grid(color=palette.grid, linewidth=0.7)
    axes.set_axisbelow(True)


def series_dash(index: int) -> str | tuple[int, tuple[float, ...]]:
    """Line style of series `index`; where colours repeat, dashes do not."""
    return _DASHES[(index + index // SERIES) % len(_DASHES)]


def mark_series(artist: Artist, index: int) -> None:
    """Note in an artist that it belongs to series `index`, which a page can show and hide."""
    artist.set_gid(f"{MARK}{index}")


def draw_curve(
    axes: Axes, palette: Palette, index: int, name: str, x: Sequence[float], y: Sequence[float]
) -> None:
    """Draw the line of series `index`, a dot at each of its points."""
    (line,) = axes.plot(
        x, y, label=name, color=palette.colour(index), linestyle=series_dash(index),
        linewidth=1.8, marker="o", markersize=2.4,
    )  # fmt: skip
    mark_series(line, index)


def draw_target(axes: Axes, palette: Palette, target: float) -> None:
    """Draw the dashed line that curves should come above."""
    axes.axhline(target, color=palette.muted, linewidth=1, dashes=(4, 3))


def label_rounds(axes: Axes) -> None:
    """Let rounds be counted along the axis below."""
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def save_png(figure: Figure, path: Path, title: str = "") -> None:
    """Write the figure on white, a legend of all that has a name beside it, to a file."""
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    named = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    if named:
        figure.legend(
            named.values(), named.keys(), loc="outside right center", frameon=False, fontsize=8
        )
    if title:
        figure.suptitle(title)
    figure.patch.set_visible(True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI, facecolor="white")
    write_atomically(path, picture.getvalue())
