"""The pictures of a benchmark."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dtfl_app.bench.grid import Grid, Variant
from dtfl_app.bench.tables import method_name
from twin.files import write_atomically

__all__ = ["plot_calibration", "plot_costs", "plot_curves", "plot_timeline", "plot_worst"]

_DPI = 130
_RATES = {"far_at_1pct": 0.01, "far_at_05pct": 0.005, "far_at_01pct": 0.001}
# Hours shown before and after an event.
_MARGIN, _MOST_EVENTS = 24, 12
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.2)))


def plot_curves(rounds: pd.DataFrame, grid: Grid, path: Path) -> None:
    """Balanced accuracy over rounds: mean over seeds and folds, band from lowest to highest."""
    main = rounds[rounds["sweep"] == ""]
    variants = [v for v in grid.variants if v.name in set(main["variant"])]
    # Every second line is dashed, for methods that lie on top of each other.
    look = {
        row.name: (f"C{index % 10}", _DASHES[index % len(_DASHES)])
        for index, row in enumerate(grid.rows)
    }
    figure, axes = _panels(len(variants), "round")
    for panel, variant in zip(axes, variants, strict=True):
        for name, lines in _by_row(main, grid, variant):
            by_round = lines.groupby("round")["balanced_accuracy"]
            color, style = look[name]
            panel.plot(by_round.mean(), label=name, linewidth=1.6, color=color, linestyle=style)
            low, high = by_round.min(), by_round.max()
            panel.fill_between(low.index, low, high, color=color, alpha=0.08, linewidth=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.axhline(grid.targets[0], color="0.6", linestyle="--", linewidth=1)
        panel.set_title(variant.name or grid.title, fontsize=10)
    axes[0].set_ylabel("balanced accuracy")
    # A variant may have some of the rows only: the legend is that of the fullest panel.
    fullest = max(axes, key=lambda panel: len(panel.lines))
    handles, names = fullest.get_legend_handles_labels()
    axes[-1].legend(
        handles, names, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5)
    )
    _save(figure, path)


def plot_costs(cells: pd.DataFrame, grid: Grid, path: Path) -> None:
    """Megabytes up and down to the target, mean over the runs that reached it."""
    target = f"{grid.targets[0]:g}"
    names, up, down, notes = [], [], [], []
    for name, lines in _methods(cells, grid):
        reached = lines[f"rounds_to_{target}"].notna()
        names.append(name)
        up.append(np.nan_to_num(lines[f"bytes_up_to_{target}"].mean() / 1e6))
        down.append(np.nan_to_num(lines[f"bytes_down_to_{target}"].mean() / 1e6))
        notes.append("" if reached.all() else f"{reached.sum()} of {len(lines)} runs reached it")
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.3 * len(names)))
    places = np.arange(len(names))[::-1]
    axes.barh(places, up, color="#4477aa", label="up")
    axes.barh(places, down, left=up, color="#ccbb44", label="down")
    for place, end, note in zip(places, np.add(up, down), notes, strict=True):
        axes.annotate(note, (end, place), (4, 0), textcoords="offset points", va="center", size=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlabel(f"megabytes to balanced accuracy {target}, all sites")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _save(figure, path)


def plot_worst(cells: pd.DataFrame, grid: Grid, path: Path) -> bool:
    """Balanced accuracy of the worst site or fold beside the mean; False where there is neither."""
    names, means, worsts = [], [], []
    for name, lines in _methods(cells, grid):
        worst = _worst(lines)
        if worst is not None:
            names.append(name)
            means.append(float(lines["balanced_accuracy"].mean()))
            worsts.append(worst)
    if not names:
        return False
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.3 * len(names)))
    places = np.arange(len(names))[::-1]
    axes.hlines(places, worsts, means, color="0.75", linewidth=2)
    axes.plot(worsts, places, "v", color="#ee6677", label="worst site or fold")
    axes.plot(means, places, "o", color="#4477aa", label="all")
    axes.axvline(grid.targets[0], color="0.6", linestyle="--", linewidth=1)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlabel("balanced accuracy, last round")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _save(figure, path)
    return True


def plot_calibration(cells: pd.DataFrame, grid: Grid, path: Path) -> None:
    """False-alarm rate that was seen against the one that was wanted, one point per method."""
    rates = {k: v for k, v in _RATES.items() if k in cells and cells[k].notna().any()}
    wanted_alone = float(grid.settings.get("detector.false-alarm-rate", 0.005))
    columns = rates or {"false_alarm_rate": wanted_alone}
    figure, axes = plt.subplots(figsize=(6.5, 5))
    floor = min(columns.values()) / 10
    for index, (name, lines) in enumerate(_methods(cells, grid)):
        seen = [max(float(lines[column].mean()), floor) for column in columns]
        marker = "osD^vP*X"[index // 10 % 8]
        axes.plot(list(columns.values()), seen, marker=marker, label=name, linewidth=0.8)
    line = np.array([floor, 0.1])
    axes.plot(line, line, color="0.6", linestyle="--", linewidth=1)
    axes.fill_between(line, line / 2, line * 2, color="0.9", zorder=0, label="factor of 2")
    axes.set(xscale="log", yscale="log", xlabel="wanted false-alarm rate", ylabel="observed")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def plot_timeline(alarms: pd.DataFrame, title: str, path: Path) -> bool:
    """Score, threshold and alarms around each attack; False where there is none."""
    windows = list(_windows(alarms))[:_MOST_EVENTS]
    if not windows:
        return False
    columns = min(3, len(windows))
    height = -(-len(windows) // columns)
    figure, axes = plt.subplots(height, columns, figsize=(4.2 * columns, 2.3 * height))
    panels = np.atleast_1d(axes).ravel()
    for panel, (event, start, stop, window) in zip(panels, windows, strict=False):
        floor = max(float(alarms["score"].quantile(0.01)), 1e-9)
        time = np.arange(len(window))
        panel.semilogy(time, window["score"].clip(lower=floor), color="#4477aa", linewidth=1.2)
        panel.semilogy(time, window["threshold"], color="0.4", linestyle="--", linewidth=1)
        panel.axvspan(start, stop, color="#ccbb44", alpha=0.3, linewidth=0)
        hits = np.flatnonzero(window["alarm"])
        panel.plot(hits, np.full(len(hits), floor), "|", color="#ee6677", markersize=8)
        panel.set_title(event, fontsize=8)
        panel.tick_params(labelsize=6, which="both")
    for panel in panels[len(windows) :]:
        panel.set_visible(False)
    figure.suptitle(f"{title}: score, threshold (dashed), attack (shaded), alarms (ticks)", size=10)
    figure.tight_layout()
    _save(figure, path)
    return True


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


def _methods(cells: pd.DataFrame, grid: Grid) -> Iterator[tuple[str, pd.DataFrame]]:
    main = cells[(cells["kind"] == "federated") & (cells["sweep"] == "")]
    for variant in grid.variants:
        for name, lines in _by_row(main, grid, variant):
            yield method_name(name, variant.name), lines


def _by_row(main: pd.DataFrame, grid: Grid, variant: Variant) -> Iterator[tuple[str, pd.DataFrame]]:
    for row in grid.rows:
        lines = main[(main["row"] == row.name) & (main["variant"] == variant.name)]
        if len(lines):
            yield row.name, lines


def _worst(lines: pd.DataFrame) -> float | None:
    if lines["fold"].nunique() > 1:
        return float(lines.groupby("fold")["balanced_accuracy"].mean().min())
    column = "worst_site_balanced_accuracy"
    known = lines[column].dropna() if column in lines else pd.Series(dtype=float)
    return float(known.mean()) if len(known) else None


def _panels(count: int, label: str) -> tuple[Figure, Sequence[Axes]]:
    size = (max(5.0 * count, 6.5) + 1.5, 4.2)
    figure, axes = plt.subplots(1, count, figsize=size, sharey=True, squeeze=False)
    for panel in axes[0]:
        panel.set_xlabel(label)
    return figure, list(axes[0])


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI, bbox_inches="tight")
    plt.close(figure)
    write_atomically(path, picture.getvalue())
