"""The pictures of a benchmark's page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dtfl_app.report.bench_reading import BenchContents
from dtfl_app.report.blocks import Picture
from dtfl_app.report.svg import (
    GRID,
    INK,
    MUTED,
    mark_series,
    new_figure,
    plain_axes,
    series_colour,
    series_dash,
    to_svg,
)

__all__ = ["bench_bytes", "bench_curves", "worst_sites"]

_WIDTH, _ROW = 9.2, 0.3


def bench_curves(bench: BenchContents) -> Iterator[Picture]:
    """One picture per variant: balanced accuracy over rounds, mean and range over its cells."""
    main = bench.rounds[bench.rounds["sweep"] == ""]
    rows = list(dict.fromkeys(main["row"]))
    for place, (variant, lines) in enumerate(main.groupby("variant", sort=False)):
        figure = new_figure(_WIDTH, 3.6)
        axes = figure.subplots()
        for row, group in lines.groupby("row", sort=False):
            index, by_round = rows.index(row), group.groupby("round")["balanced_accuracy"]
            mean, colour = by_round.mean(), series_colour(index)
            (line,) = axes.plot(mean.index, mean, color=colour, linestyle=series_dash(index))
            band = axes.fill_between(
                mean.index, by_round.min(), by_round.max(), color=colour, alpha=0.13, linewidth=0
            )
            mark_series(line, index)
            mark_series(band, index)
        plain_axes(axes)
        axes.axhline(float(bench.targets[0]), color=MUTED, linewidth=1, dashes=(4, 3))
        axes.set_xlabel("round")
        axes.set_ylabel("balanced accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        title = str(variant) or "Without a variant"
        last = lines.sort_values("round").groupby(["row", "seed"], sort=False).tail(1)
        ends = last.groupby("row", sort=False)["balanced_accuracy"].mean()
        said = "; ".join(f"{row} ends at {value:.3f}" for row, value in ends.items())
        yield Picture(
            to_svg(figure, f"curves-{place}", f"Learning curves: {title}", f"{said}."),
            "Line: mean over seeds and folds. Band: lowest to highest.",
            title,
        )


def bench_bytes(bench: BenchContents) -> Picture:
    """Bars of the megabytes up and down to the target, mean over the cells that reached it."""
    target = bench.targets[0]
    groups = bench.main.groupby("method", sort=False)
    means = {way: groups[f"bytes_{way}_to_{target}"].mean() / 1e6 for way in ("up", "down")}
    reached = groups[f"rounds_to_{target}"].agg(["count", "size"])
    total = means["up"] + means["down"]
    most = float(total.max()) if total.notna().any() else 1.0
    figure = new_figure(_WIDTH, 0.6 + _ROW * len(total))
    axes = figure.subplots()
    said = []
    for place, name in enumerate(total.index):
        hits, cells = reached.loc[name]
        note = f"{total[name]:.1f} MB" if hits else f"not reached in {cells} cells"
        if 0 < hits < cells:
            note += f" ({hits} of {cells} cells)"
        if hits:
            up, colour = means["up"][name], series_colour(1)
            axes.barh(place, up, height=0.62, color=colour)
            axes.barh(place, means["down"][name], 0.62, left=up, color=colour, alpha=0.45)
        end = float(np.nan_to_num(total[name]))
        axes.text(end + 0.01 * most, place, note, va="center", color=INK if hits else MUTED)
        said.append(f"{name}: {note}")
    _finish_rows(axes, list(total.index))
    axes.set_xlim(0, most * 1.25)
    axes.set_xlabel(f"megabytes to balanced accuracy {target}, all sites")
    return Picture(
        to_svg(figure, "bytes", "Bytes to the target", "; ".join(said) + "."),
        "Up to the server (full colour) and down to the sites (pale), mean over the cells that "
        "reached the target.",
    )


def worst_sites(bench: BenchContents) -> Picture | None:
    """Balanced accuracy of the worst site and fold beside the mean; None where there is one."""
    means, worst = _mean_and_worst(bench.main)
    if worst.empty:
        return None
    figure = new_figure(_WIDTH, 0.6 + _ROW * len(worst))
    axes = figure.subplots()
    for place, name in enumerate(worst.index):
        axes.plot([worst[name], means[name]], [place, place], color=GRID, linewidth=2.5)
        axes.plot(means[name], place, "o", color=series_colour(1), mew=0)
        axes.plot(worst[name], place, "v", color=series_colour(2), mew=0)
    _finish_rows(axes, list(worst.index))
    axes.axvline(float(bench.targets[0]), color=MUTED, linewidth=1, dashes=(4, 3))
    axes.set_xlabel("balanced accuracy of the last model")
    said = "; ".join(f"{n}: mean {means[n]:.3f}, worst {worst[n]:.3f}" for n in worst.index)
    return Picture(
        to_svg(figure, "worst", "Worst site", f"{said}."),
        "Dot: mean over seeds. Triangle: the worst site or fold, mean over seeds.",
    )


def _mean_and_worst(cells: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Per method, over seeds: the mean, and the worst fold where there are folds, else site."""
    means = cells.groupby("method", sort=False)["balanced_accuracy"].mean()
    if cells["fold"].nunique() > 1:
        by_fold = cells.groupby(["method", "fold"], sort=False)["balanced_accuracy"].mean()
        return means, by_fold.groupby(level="method", sort=False).min()
    key = "worst_site_balanced_accuracy"
    if key not in cells:
        return means, means.iloc[:0]
    return means, cells.groupby("method", sort=False)[key].mean().dropna()


def _finish_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
