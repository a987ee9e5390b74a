"""The pictures of a benchmark as PNG files, drawn as they are on its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dtfl_app.bench.grid import Grid
from dtfl_app.report.bench_pictures import (
    bars_to_target,
    draw_rounds,
    draw_worst,
    false_alarms,
    means_and_worst,
)
from dtfl_app.report.run_pictures import draw_bars, draw_calibration
from dtfl_app.results.drawing import PAPER, new_figure, plain_axes, save_png

__all__ = ["save_calibration", "save_costs", "save_curves", "save_timeline", "save_worst"]

_WIDTH = 11.0  # inches
# Steps shown before and after an event.
_MARGIN, _MOST_EVENTS, _COLUMNS = 24, 12, 3


def save_curves(rounds: pd.DataFrame, grid: Grid, path: Path) -> None:
    """Balanced accuracy over rounds, a panel for each variant."""
    main = rounds[rounds["sweep"] == ""]
    panels = list(main.groupby("variant", sort=False))
    rows = [row.name for row in grid.rows]
    figure = new_figure(max(_WIDTH, 5.0 * len(panels) + 2.0), 4.2)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (variant, lines) in zip(axes, panels, strict=True):
        draw_rounds(panel, lines, rows, grid.targets[0], PAPER)
        panel.set_title(str(variant) or grid.title, fontsize=10)
    axes[0].set_ylabel("balanced accuracy")
    save_png(figure, path)


def save_costs(main: pd.DataFrame, grid: Grid, path: Path) -> None:
    """Megabytes up and down to the target, mean over the cells that reached it."""
    target = f"{grid.targets[0]:g}"
    bars = bars_to_target(main, target)
    figure = new_figure(_WIDTH, _height(len(bars)))
    axes = figure.subplots()
    draw_bars(axes, bars, PAPER, PAPER.series[1:2])
    axes.set_xlabel(f"megabytes to balanced accuracy {target}, all sites")
    save_png(figure, path)


def save_worst(main: pd.DataFrame, grid: Grid, path: Path) -> bool:
    """Balanced accuracy of the worst site or fold beside the mean; False where there is neither."""
    found = means_and_worst(main)
    if found:
        figure = new_figure(_WIDTH, _height(len(found)))
        draw_worst(figure.subplots(), found, grid.targets[0], PAPER)
        save_png(figure, path)
    return bool(found)


def save_calibration(main: pd.DataFrame, grid: Grid, path: Path) -> None:
    """False-alarm rates that were seen against those that were wanted."""
    points = false_alarms(main, float(grid.settings.get("detector.false-alarm-rate", 0.005)))
    figure = new_figure(_WIDTH, 4.2)
    draw_calibration(figure.subplots(), points, PAPER)
    save_png(figure, path)


def save_timeline(alarms: pd.DataFrame, title: str, path: Path) -> bool:
    """Score, threshold and alarms around each event; False where there is none."""
    windows = list(_windows(alarms))[:_MOST_EVENTS]
    if not windows:
        return False
    columns = min(_COLUMNS, len(windows))
    height = -(-len(windows) // columns)
    figure = new_figure(4.2 * columns, 2.3 * height + 0.5)
    panels = figure.subplots(height, columns, squeeze=False).ravel()
    floor = max(float(alarms["score"].quantile(0.01)), 1e-9)
    for panel, (event, start, stop, window) in zip(panels, windows, strict=False):
        plain_axes(panel, PAPER)
        _draw_window(panel, window, (start, stop), floor)
        panel.set_title(event, fontsize=8)
    for panel in panels[len(windows) :]:
        panel.set_visible(False)
    what = "score, threshold (dashed), event (shaded), alarms (ticks)"
    save_png(figure, path, f"{title}: {what}")
    return True


def _draw_window(axes: Axes, window: pd.DataFrame, event: tuple[int, int], floor: float) -> None:
    time, hits = np.arange(len(window)), np.flatnonzero(window["alarm"])
    axes.semilogy(time, window["score"].clip(lower=floor), color=PAPER.colour(1), linewidth=1.2)
    axes.semilogy(time, window["threshold"], color=PAPER.ink, linewidth=0.8, dashes=(4, 2))
    axes.axvspan(*event, color=PAPER.event, alpha=0.6, linewidth=0)
    axes.plot(hits, np.full(len(hits), floor), "|", color=PAPER.alarm, markersize=8)
    axes.tick_params(labelsize=6, which="both")


def _windows(alarms: pd.DataFrame) -> Iterator[tuple[str, int, int, pd.DataFrame]]:
    """Yield each event's name, its first and last step in the window, and the window's rows."""
    for event in dict.fromkeys(str(e) for e in alarms["event"] if e):
        inside = np.flatnonzero(alarms["event"] == event)
        instance = alarms["instance"].iloc[inside[0]]
        same = np.flatnonzero(alarms["instance"] == instance)
        first = max(int(inside[0]) - _MARGIN, int(same[0]))
        last = min(int(inside[-1]) + _MARGIN, int(same[-1]))
        rows = alarms.iloc[first : last + 1]
        yield event, int(inside[0]) - first, int(inside[-1]) - first, rows


def _height(rows: int) -> float:
    return 1.2 + 0.3 * rows
