"""The pictures of a run's page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dtfl_app.report.blocks import Picture
from dtfl_app.report.svg import (
    EVENT,
    INK,
    MUTED,
    mark_series,
    new_figure,
    plain_axes,
    series_colour,
    series_dash,
    to_svg,
)
from dtfl_app.results.lines import RoundLine

__all__ = [
    "FalseAlarms",
    "bytes_to_target",
    "calibration_plot",
    "distance_plot",
    "learning_curves",
    "twin_signals",
]

_WIDTH = 9.2  # inches; the page scales it
_LABELLED_CHANNELS = 16
_MARKS = "os^DvPX*"


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
    figure = new_figure(_WIDTH, 3.5)
    by_round, by_bytes = figure.subplots(1, 2, sharey=True)
    strategies = list(dict.fromkeys(line.strategy for line in lines))
    for index, name in enumerate(strategies):
        group = [line for line in lines if line.strategy == name]
        spent = np.cumsum([(x.bytes_up + x.bytes_down) / 1e6 for x in group])
        judged = [(x, mb) for x, mb in zip(group, spent, strict=True) if x.metrics is not None]
        accuracy = [x.metrics.balanced_accuracy for x, _ in judged if x.metrics is not None]
        for axes, x in (
            (by_round, [line.round for line, _ in judged]),
            (by_bytes, [mb for _, mb in judged]),
        ):
            _curve(axes, index, x, accuracy)
    for axes, label in ((by_round, "round"), (by_bytes, "megabytes up and down")):
        plain_axes(axes)
        axes.axhline(target, color=MUTED, linewidth=1, dashes=(4, 3))
        axes.set_xlabel(label)
    by_round.set_ylabel("balanced accuracy")
    by_round.xaxis.set_major_locator(MaxNLocator(integer=True))
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
    figure = new_figure(_WIDTH, 0.6 + 0.34 * len(summaries))
    axes = figure.subplots()
    most = max((s["megabytes_to_target"] or 0.0 for s in summaries), default=0.0) or 1.0
    said = []
    for row, summary in enumerate(summaries):
        name, megabytes = summary["strategy"], summary["megabytes_to_target"]
        if megabytes is None:
            note = f"not in {summary['rounds']} rounds"
            axes.text(0.01 * most, row, note, va="center", color=MUTED)
        else:
            up = _megabytes_up(lines, name, summary["rounds_to_target"])
            note = f"{megabytes:.1f} MB"
            axes.barh(row, up, height=0.62, color=series_colour(row))
            axes.barh(
                row, megabytes - up, height=0.62, left=up, color=series_colour(row), alpha=0.45
            )
            axes.text(megabytes + 0.01 * most, row, note, va="center", color=INK)
        said.append(f"{name}: {note}")
    axes.set_yticks(range(len(summaries)), [s["strategy"] for s in summaries])
    axes.set_ylim(len(summaries) - 0.4, -0.6)
    axes.set_xlim(0, most * 1.12)
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("megabytes, all sites")
    return Picture(
        to_svg(figure, "bytes", "Bytes to the target", "; ".join(said) + "."),
        f"What had travelled when balanced accuracy {target:g} was first reached: "
        "up to the server (full colour) and down to the sites (pale).",
    )


def calibration_plot(points: Sequence[FalseAlarms]) -> Picture:
    """Observed against wanted false-alarm rates: a column per rate, a mark per strategy."""
    figure = new_figure(_WIDTH, 3.3)
    axes = figure.subplots()
    strategies = list(dict.fromkeys(p.strategy for p in points))
    rates = sorted({p.wanted for p in points}, reverse=True)
    floor = min(rates) / 10
    for column, wanted in enumerate(rates):
        span = (column - 0.45, column + 0.45)
        axes.fill_between(span, wanted / 2, wanted * 2, color=EVENT, alpha=0.45, linewidth=0)
        axes.plot(span, (wanted, wanted), color=INK, linewidth=1)
    for point in points:
        index = strategies.index(point.strategy)
        offset = (index + 0.5) / len(strategies) * 0.8 - 0.4
        x, y = rates.index(point.wanted) + offset, max(point.observed, floor)
        size, alpha = (3, 0.5) if point.site else (7, 1.0)
        shape = _MARKS[index % len(_MARKS)]
        (mark,) = axes.plot(x, y, shape, ms=size, color=series_colour(index), alpha=alpha, mew=0)
        mark_series(mark, index)
    axes.set_yscale("log")
    axes.set_ylim(floor * 0.8, max(*(p.observed for p in points), max(rates) * 2) * 1.4)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plain_axes(axes)
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(rates)), [f"wanted {_percent(rate)}" for rate in rates])
    axes.set_xlim(-0.5, len(rates) - 0.5)
    axes.set_ylabel("observed false-alarm rate")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
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


def distance_plot(table: pd.DataFrame) -> Picture:
    """Kolmogorov-Smirnov distance of twin and plant per channel, the largest first."""
    largest = table.sort_values(["ks", "channel"], ascending=[False, True])
    largest = largest.head(_LABELLED_CHANNELS)
    figure = new_figure(_WIDTH, 0.6 + 0.2 * len(largest))
    axes = figure.subplots()
    axes.barh(range(len(largest)), largest["ks"], height=0.6, color=series_colour(1))
    axes.set_yticks(range(len(largest)), largest["channel"])
    axes.set_xlim(0, max(0.1, float(largest["ks"].max()) * 1.05))
    axes.invert_yaxis()
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
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
    figure = new_figure(_WIDTH, 2.9)
    at_sites, on_twin = figure.subplots(1, 2)
    for index, name in enumerate(dict.fromkeys(x.strategy for x in lines)):
        here = [x for x in scored if x.strategy == name]
        _curve(at_sites, index, [x.round for x in here], [x.site_score for x in here])
        there = [x for x in tried if x.strategy == name]
        _curve(on_twin, index, [x.round for x in there], [x.twin_loss for x in there])
    for axes, label in ((at_sites, "median score at the sites"), (on_twin, "loss on twin data")):
        plain_axes(axes)
        axes.set_ylabel(label)
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    last = {x.strategy: x for x in lines}.values()
    said = "; ".join(
        f"{x.strategy}: score {x.site_score:.3g}, twin loss {x.twin_loss:.3g}" for x in last
    )
    return Picture(
        to_svg(figure, "signals", "What the twin does to the sites", f"At the end, {said}."),
        "Left: median over sites of the median anomaly score of normal operation. Right: loss of "
        "the aggregate on twin data before the twin's step. With a twin like the plant both fall; "
        "a wrong one pulls the left up.",
    )


def _curve(axes: Axes, index: int, x: Sequence[float], y: Sequence[float]) -> None:
    (line,) = axes.plot(
        x,
        y,
        color=series_colour(index),
        linestyle=series_dash(index),
        linewidth=1.8,
        marker="o",
        markersize=2.4,
    )
    mark_series(line, index)


def _last_accuracy(lines: Sequence[RoundLine], strategy: str) -> str:
    judged = [x.metrics for x in lines if x.strategy == strategy and x.metrics is not None]
    return f"{judged[-1].balanced_accuracy:.3f}" if judged else "not judged"


def _megabytes_up(lines: Sequence[RoundLine], strategy: str, rounds: int) -> float:
    until = (x for x in lines if x.strategy == strategy and x.round <= rounds)
    return sum(x.bytes_up for x in until) / 1e6


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
