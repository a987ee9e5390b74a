"""The pictures of a run's page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dtfl_app.report.blocks import Picture
from dtfl_app.report.svg import PAGE, to_svg
from dtfl_app.results.curves import draw_curves
from dtfl_app.results.drawing import (
    Palette,
    draw_curve,
    label_rounds,
    mark_series,
    new_figure,
    plain_axes,
)
from dtfl_app.results.figures import FIGURES
from dtfl_app.results.lines import RoundLine

__all__ = [
    "WIDTH",
    "Bar",
    "FalseAlarms",
    "bytes_to_target",
    "calibration_plot",
    "distance_plot",
    "draw_bars",
    "draw_calibration",
    "learning_curves",
    "name_rows",
    "twin_signals",
]

#: Of a picture, in inches; the page scales it.
WIDTH = 9.2
_LABELLED_CHANNELS = 16
_MARKS = "os^DvPX*"
# What the twin does to the sites: a line's figure, its axis, what it is.
_SIGNALS = (
    (
        "site_score",
        "median score at the sites",
        "Score: median over sites of the median anomaly score of normal operation",
    ),
    (
        "twin_loss",
        "loss on twin data",
        "Loss: that of the aggregate on twin data before the twin's step",
    ),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """Megabytes up to the server and down to the sites, to a target; 0 if it was not `reached`."""

    name: str
    note: str
    reached: bool
    up: float = 0.0
    down: float = 0.0


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """A wanted false-alarm rate and what was observed, for one strategy, at one site or overall.

    Parameters
    ----------
    strategy : name.
    wanted, observed : shares of normal time steps in [0, 1].
    site : name; empty = the whole evaluation set.
    """

    strategy: str
    wanted: float
    observed: float
    site: str = ""


def learning_curves(lines: Sequence[RoundLine], target: float) -> Picture:
    """Balanced accuracy over rounds and over megabytes, one line per strategy."""
    figure = new_figure(WIDTH, 3.5)
    draw_curves(figure, lines, target, PAGE)
    strategies = dict.fromkeys(line.strategy for line in lines)
    finals = "; ".join(f"{name} {_last_accuracy(lines, name)}" for name in strategies)
    return Picture(
        to_svg(figure, "curves", "Learning curves", f"Last balanced accuracy: {finals}."),
        f"Balanced accuracy on the evaluation set after each round. The dashed line is the "
        f"target, {target:g}.",
    )


def bytes_to_target(
    summaries: Sequence[Mapping[str, Any]], lines: Sequence[RoundLine], target: float
) -> Picture:
    """Bars of the megabytes up and down until the target; who did not reach it has a note."""
    bars = [_bar(summary, lines) for summary in summaries]
    figure = new_figure(WIDTH, 0.6 + 0.34 * len(bars))
    axes = figure.subplots()
    draw_bars(axes, bars, PAGE, PAGE.series)
    axes.set_xlabel("megabytes, all sites")
    said = "; ".join(f"{bar.name}: {bar.note}" for bar in bars)
    return Picture(
        to_svg(figure, "bytes", "Bytes to the target", f"{said}."),
        f"What had travelled when balanced accuracy {target:g} was first reached: "
        "up to the server (full colour) and down to the sites (pale).",
    )


def draw_bars(axes: Axes, bars: Sequence[Bar], palette: Palette, colours: Sequence[str]) -> None:
    """Draw the megabytes up and down to a target, a row for each; colours repeat."""
    most = max((bar.up + bar.down for bar in bars), default=0.0) or 1.0
    for row, bar in enumerate(bars):
        colour, end = colours[row % len(colours)], bar.up + bar.down
        if bar.reached:
            axes.barh(row, bar.up, 0.62, color=colour, label="up")
            axes.barh(row, bar.down, 0.62, left=bar.up, color=colour, alpha=0.45, label="down")
        ink = palette.ink if bar.reached else palette.muted
        axes.text(end + 0.01 * most, row, bar.note, va="center", color=ink)
    name_rows(axes, [bar.name for bar in bars], palette)
    axes.set_xlim(0, most * 1.25)


def name_rows(axes: Axes, names: Sequence[str], palette: Palette) -> None:
    """Name the rows of a picture from above downwards."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(axes, palette)
    axes.grid(visible=False, axis="y")


def calibration_plot(points: Sequence[FalseAlarms]) -> Picture:
    """Observed against wanted false-alarm rates: a column per rate, a mark per strategy."""
    figure = new_figure(WIDTH, 3.3)
    floor = draw_calibration(figure.subplots(), points, PAGE)
    said = "; ".join(
        f"{p.strategy}: wanted {_percent(p.wanted)}, observed {_percent(p.observed)}"
        for p in points
        if not p.site
    )
    return Picture(
        to_svg(figure, "calibration", "False alarms, wanted and observed", f"{said}."),
        "Share of normal time steps with an alarm. Line: the rate that was wanted; band: within a "
        "factor of two of it. Large marks: the whole evaluation set; small ones: single sites. "
        f"Rates below {_percent(floor)} are drawn there.",
    )


def draw_calibration(axes: Axes, points: Sequence[FalseAlarms], palette: Palette) -> float:
    """Draw observed against wanted rates; return the rate that smaller ones are drawn at."""
    strategies = list(dict.fromkeys(p.strategy for p in points))
    rates = sorted({p.wanted for p in points}, reverse=True)
    floor = min(rates) / 10
    for column, wanted in enumerate(rates):
        span = (column - 0.45, column + 0.45)
        axes.fill_between(span, wanted / 2, wanted * 2, color=palette.event, alpha=0.45, lw=0)
        axes.plot(span, (wanted, wanted), color=palette.ink, linewidth=1)
    for point in points:
        index = strategies.index(point.strategy)
        offset = (index + 0.5) / len(strategies) * 0.8 - 0.4
        x, y = rates.index(point.wanted) + offset, max(point.observed, floor)
        size, alpha = (3, 0.5) if point.site else (7, 1.0)
        (mark,) = axes.plot(
            x, y, _MARKS[index % len(_MARKS)], ms=size, color=palette.colour(index), alpha=alpha,
            mew=0, label=point.strategy,
        )  # fmt: skip
        mark_series(mark, index)
    axes.set_yscale("log")
    axes.set_ylim(floor * 0.8, max(*(p.observed for p in points), max(rates) * 2) * 1.4)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plain_axes(axes, palette)
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(rates)), [f"wanted {_percent(rate)}" for rate in rates])
    axes.set_xlim(-0.5, len(rates) - 0.5)
    axes.set_ylabel("observed false-alarm rate")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return floor


def distance_plot(table: pd.DataFrame) -> Picture:
    """Kolmogorov-Smirnov distance of twin and plant per channel, the largest first."""
    largest = table.sort_values(["ks", "channel"], ascending=[False, True])
    largest = largest.head(_LABELLED_CHANNELS)
    figure = new_figure(WIDTH, 0.6 + 0.2 * len(largest))
    axes = figure.subplots()
    axes.barh(range(len(largest)), largest["ks"], height=0.6, color=PAGE.colour(1))
    axes.set_xlim(0, max(0.1, float(largest["ks"].max()) * 1.05))
    name_rows(axes, list(largest["channel"]), PAGE)
    axes.set_xlabel("Kolmogorov-Smirnov distance, 0 = same distribution, 1 = disjoint")
    worst = largest.iloc[0]
    return Picture(
        to_svg(
            figure,
            "distance",
            "Distance of twin and plant",
            f"Largest: channel {worst['channel']}, {worst['ks']:.3f}.",
        ),
        f"The {len(largest)} channels in which twin and plant differ most.",
    )


def twin_signals(lines: Sequence[RoundLine]) -> Picture | None:
    """Score at the sites and loss on twin data over rounds; None when neither was measured."""
    scored = [x for x in lines if math.isfinite(x.site_score)]
    tried = [x for x in lines if math.isfinite(x.twin_loss)]
    if not scored and not tried:
        return None
    panels = [panel for panel in zip(_SIGNALS, (scored, tried), strict=True) if panel[1]]
    figure = new_figure(WIDTH, 2.9)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, ((key, label, _), measured) in zip(row, panels, strict=True):
        for index, name in enumerate(dict.fromkeys(x.strategy for x in lines)):
            here = [x for x in measured if x.strategy == name]
            draw_curve(axes, PAGE, index, name, *_series(here, key))
        plain_axes(axes, PAGE)
        axes.set_ylabel(label)
        label_rounds(axes)
    last = {x.strategy: x for x in lines}.values()
    said = "; ".join(
        f"{x.strategy}: score {x.site_score:.3g}, twin loss {x.twin_loss:.3g}" for x in last
    )
    return Picture(
        to_svg(figure, "signals", "What the twin does to the sites", f"At the end, {said}."),
        _signals_caption([key for (key, _, _), _ in panels]),
    )


def _signals_caption(drawn: Sequence[str]) -> str:
    """Say what the panels show, and why one is not there."""
    shown = [f"{says}." for key, _, says in _SIGNALS if key in drawn]
    if "twin_loss" not in drawn:
        shown.append("Nothing was trained on twin data, so there is no loss on it to draw.")
    elif "site_score" not in drawn:
        shown.append("No site had calibration rows, so there is no score at the sites to draw.")
    else:
        shown.append("With a twin like the plant both fall; a wrong one pulls the first up.")
    return " ".join(shown)


def _series(lines: Sequence[RoundLine], figure: str) -> tuple[list[int], list[float]]:
    return [line.round for line in lines], [getattr(line, figure) for line in lines]


def _bar(summary: Mapping[str, Any], lines: Sequence[RoundLine]) -> Bar:
    name, megabytes = summary["strategy"], summary["megabytes_to_target"]
    if megabytes is None:
        return Bar(name, f"not in {summary['rounds']} rounds", reached=False)
    up = _megabytes_up(lines, name, summary["rounds_to_target"])
    return Bar(name, FIGURES["megabytes"].measured(megabytes), True, up, megabytes - up)


def _last_accuracy(lines: Sequence[RoundLine], strategy: str) -> str:
    judged = [x.metrics for x in lines if x.strategy == strategy and x.metrics is not None]
    if not judged:
        return "not judged"
    return FIGURES["balanced_accuracy"].text(judged[-1].balanced_accuracy)


def _megabytes_up(lines: Sequence[RoundLine], strategy: str, rounds: int) -> float:
    until = (x for x in lines if x.strategy == strategy and x.round <= rounds)
    return sum(x.bytes_up for x in until) / 1e6


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
