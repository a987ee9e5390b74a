"""Scores, threshold, alarms and true events over time, a panel per strategy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from dtfl_app.report.blocks import Picture
from dtfl_app.report.event_outcomes import Timeline, timelines
from dtfl_app.report.run_pictures import WIDTH
from dtfl_app.report.svg import PAGE, to_svg
from dtfl_app.results.drawing import new_figure, plain_axes
from dtfl_app.results.measures import HOURS, TimeUnit

__all__ = ["timeline_pictures"]

_PANEL, _MARGIN = 0.95, 0.45  # inches
# A plant's three weeks by the hour fit on one line; a longer recording goes on in a second one.
_STEPS_PER_PICTURE = 1500
_POINTS = 400
_MAX_PICTURES = 30


def timeline_pictures(
    alarms: Mapping[str, pd.DataFrame], unit: TimeUnit = HOURS
) -> tuple[list[Picture], int]:
    """One picture per instance (per part of a long one), and how many were left out.

    Instances with events come first; there are at most 30 pictures. Times are in `unit`.
    """
    stretches: dict[tuple[str, int], dict[str, Timeline]] = {}
    for strategy, table in alarms.items():
        for name, part, line in timelines(table, _STEPS_PER_PICTURE, _POINTS, unit):
            stretches.setdefault((name, part), {})[strategy] = line
    ordered = sorted(
        stretches.items(), key=lambda item: not any(line.events for line in item[1].values())
    )
    strategies = list(alarms)
    pictures = [
        _picture(number, name, part, panels, strategies, unit)
        for number, ((name, part), panels) in enumerate(ordered[:_MAX_PICTURES])
    ]
    return pictures, len(ordered) - len(pictures)


def _picture(
    number: int,
    name: str,
    part: int,
    panels: Mapping[str, Timeline],
    strategies: Sequence[str],
    unit: TimeUnit,
) -> Picture:
    height = _MARGIN + _PANEL * len(panels)
    figure = new_figure(WIDTH, height, measured=False)
    figure.subplots_adjust(
        left=0.07, right=0.99, bottom=_MARGIN / height, top=1 - 0.2 / height, hspace=0.45
    )
    column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (strategy, line) in zip(column, panels.items(), strict=True):
        _panel(axes, line, strategies.index(strategy))
        axes.set_title(strategy, loc="left", pad=2, color=PAGE.ink)
        axes.tick_params(bottom=axes is column[-1])
    column[-1].set_xlabel(unit.several)
    alarmed = "; ".join(
        f"{strategy}: {len(line.alarms)} episode{'s' if len(line.alarms) != 1 else ''}"
        for strategy, line in panels.items()
    )
    events = "; ".join(
        f"{event.name} from {unit.name} {_span(event.begin, event.end)}"
        for event in next(iter(panels.values())).events
    )
    where = f"{name}, part {part + 1}" if part else name
    return Picture(
        to_svg(figure, f"timeline-{number}", f"Scores of {where}", f"Alarms: {alarmed}."),
        f"Events: {events or 'none'}.",
        where,
    )


def _span(begin: float, end: float) -> str:
    """Write begin and end with the digits that it takes to tell them apart."""
    length = end - begin
    digits = 1 + math.ceil(-math.log10(length)) if 0 < length < 1 else 0
    return f"{begin:.{digits}f} to {end:.{digits}f}"


def _panel(axes: Axes, line: Timeline, index: int) -> None:
    """Score on a log scale where all are positive, threshold dashed, events shaded, alarms below.

    A score may have a sign: a classifier's is a logit.
    """
    positive = line.threshold > 0 and bool((line.score > 0).all())
    plain_axes(axes, PAGE)
    axes.grid(visible=False)
    axes.set_yscale("log" if positive else "linear")
    axes.plot(line.time, line.score, color=PAGE.colour(index), linewidth=1)
    if math.isfinite(line.threshold):
        axes.axhline(line.threshold, color=PAGE.ink, linewidth=0.8, dashes=(4, 2))
    _shade(axes, [(e.begin, e.end) for e in line.events], 1.0, color=PAGE.event, alpha=0.6)
    _shade(axes, line.alarms, 0.09, color=PAGE.alarm, alpha=1.0)
    axes.margins(x=0)
    axes.yaxis.set_major_locator(LogLocator(numticks=4) if positive else MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.spines["left"].set_color(PAGE.grid)


def _shade(
    axes: Axes, stretches: Iterable[tuple[float, float]], top: float, color: str, alpha: float
) -> None:
    """Shade stretches of time from the foot up to a share `top` of the panel, as one shape."""
    boxes = [Path([(a, 0), (b, 0), (b, top), (a, top), (a, 0)]) for a, b in stretches]
    if boxes:
        shape = Path.make_compound_path(*boxes)
        across = axes.get_xaxis_transform()
        axes.add_patch(PathPatch(shape, transform=across, color=color, alpha=alpha, linewidth=0))
