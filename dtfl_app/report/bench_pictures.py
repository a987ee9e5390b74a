"""The pictures of a benchmark: drawn for its page and for its PNG files alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dtfl_app.detector.metrics import WANTED_RATES
from dtfl_app.report.bench_reading import BenchContents
from dtfl_app.report.blocks import Picture
from dtfl_app.report.run_pictures import WIDTH, Bar, FalseAlarms, draw_bars, name_rows
from dtfl_app.report.svg import PAGE, to_svg
from dtfl_app.results.drawing import (
    Palette,
    draw_target,
    label_rounds,
    mark_series,
    new_figure,
    plain_axes,
    series_dash,
)
from dtfl_app.results.figures import FIGURES

__all__ = [
    "bars_to_target",
    "bench_bytes",
    "bench_curves",
    "draw_rounds",
    "draw_worst",
    "false_alarms",
    "means_and_worst",
    "worst_sites",
]

_ROW = 0.3  # inches


def bench_curves(bench: BenchContents) -> Iterator[Picture]:
    """One picture per variant: balanced accuracy over rounds, mean and range over its cells."""
    main = bench.rounds[bench.rounds["sweep"] == ""]
    rows = list(dict.fromkeys(main["row"]))
    for place, (variant, lines) in enumerate(main.groupby("variant", sort=False)):
        figure = new_figure(WIDTH, 3.6)
        axes = figure.subplots()
        draw_rounds(axes, lines, rows, float(bench.targets[0]), PAGE)
        axes.set_ylabel("balanced accuracy")
        title = str(variant) or "Without a variant"
        last = lines.sort_values("round").groupby(["row", "seed"], sort=False).tail(1)
        ends = last.groupby("row", sort=False)["balanced_accuracy"].mean()
        said = "; ".join(f"{row} ends at {_accuracy(value)}" for row, value in ends.items())
        yield Picture(
            to_svg(figure, f"curves-{place}", f"Learning curves: {title}", f"{said}."),
            "Line: mean over seeds and folds. Band: lowest to highest.",
            title,
        )


def bench_bytes(bench: BenchContents) -> Picture:
    """Bars of the megabytes up and down to the target, mean over the cells that reached it."""
    target = bench.targets[0]
    bars = bars_to_target(bench.main, target)
    figure = new_figure(WIDTH, 0.6 + _ROW * len(bars))
    axes = figure.subplots()
    draw_bars(axes, bars, PAGE, PAGE.series[1:2])
    axes.set_xlabel(f"megabytes to balanced accuracy {target}, all sites")
    said = "; ".join(f"{bar.name}: {bar.note}" for bar in bars)
    return Picture(
        to_svg(figure, "bytes", "Bytes to the target", f"{said}."),
        "Up to the server (full colour) and down to the sites (pale), mean over the cells that "
        "reached the target.",
    )


def worst_sites(bench: BenchContents) -> Picture | None:
    """Balanced accuracy of the worst site and fold beside the mean; None where there is one."""
    found = means_and_worst(bench.main)
    if not found:
        return None
    figure = new_figure(WIDTH, 0.6 + _ROW * len(found))
    draw_worst(figure.subplots(), found, float(bench.targets[0]), PAGE)
    said = "; ".join(
        f"{name}: mean {_accuracy(mean)}, worst {_accuracy(worst)}"
        for name, (mean, worst) in found.items()
    )
    return Picture(
        to_svg(figure, "worst", "Worst site", f"{said}."),
        "Dot: mean over seeds. Triangle: the worst site or fold, mean over seeds.",
    )


def draw_rounds(
    axes: Axes, lines: pd.DataFrame, rows: Sequence[str], target: float, palette: Palette
) -> None:
    """Draw balanced accuracy over rounds: a row's mean over its cells, and their range.

    `rows` are the names in the order of the legend; `lines` may have some of them only.
    """
    for row, group in lines.groupby("row", sort=False):
        index, by_round = rows.index(str(row)), group.groupby("round")["balanced_accuracy"]
        mean, colour = by_round.mean(), palette.colour(index)
        (line,) = axes.plot(
            mean.index, mean, color=colour, linestyle=series_dash(index), label=str(row)
        )
        band = axes.fill_between(
            mean.index, by_round.min(), by_round.max(), color=colour, alpha=0.13, linewidth=0
        )
        mark_series(line, index)
        mark_series(band, index)
    plain_axes(axes, palette)
    draw_target(axes, palette, target)
    label_rounds(axes)


def bars_to_target(main: pd.DataFrame, target: str) -> list[Bar]:
    """Mean megabytes of each method's cells that reached the target, and how many did.

    `main` has one line per federated cell, with its column "method".
    """
    bars = []
    for name, cells in main.groupby("method", sort=False):
        hits, count = int(cells[f"rounds_to_{target}"].notna().sum()), len(cells)
        up, down = (float(cells[f"bytes_{way}_to_{target}"].mean() / 1e6) for way in ("up", "down"))
        some = f" ({hits} of {count} cells)" if hits < count else ""
        note = f"{FIGURES['megabytes'].measured(up + down)}{some}"
        missed = Bar(str(name), f"not reached in {count} cells", reached=False)
        bars.append(Bar(str(name), note, True, up, down) if hits else missed)
    return bars


def means_and_worst(main: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Balanced accuracy by method, over seeds: the mean, and the worst fold's or else site's.

    Methods that are judged in one place only are left out.
    """
    worst = {str(name): _worst(cells) for name, cells in main.groupby("method", sort=False)}
    means = main.groupby("method", sort=False)["balanced_accuracy"].mean()
    return {name: (float(means[name]), low) for name, low in worst.items() if not np.isnan(low)}


def draw_worst(
    axes: Axes, found: dict[str, tuple[float, float]], target: float, palette: Palette
) -> None:
    """Draw each method's mean and worst balanced accuracy on one row."""
    rows, (means, worsts) = range(len(found)), zip(*found.values(), strict=True)
    axes.hlines(rows, worsts, means, color=palette.grid, linewidth=2.5)
    axes.plot(means, rows, "o", color=palette.colour(1), mew=0, label="all")
    axes.plot(worsts, rows, "v", color=palette.colour(2), mew=0, label="worst site or fold")
    name_rows(axes, list(found), palette)
    axes.axvline(target, color=palette.muted, linewidth=1, dashes=(4, 3))
    axes.set_xlabel("balanced accuracy of the last model")


def false_alarms(main: pd.DataFrame, own: float | None = None) -> list[FalseAlarms]:
    """Mean observed false-alarm rates by method at the wanted ones that the cells have.

    Where they have none, at the runs' `own` wanted rate, if it is given.
    """
    stored = {
        key: rate for key, rate in WANTED_RATES.items() if key in main and main[key].notna().any()
    }
    wanted = stored or ({} if own is None else {"false_alarm_rate": own})
    return [
        FalseAlarms(str(name), rate, float(mean))
        for key, rate in wanted.items()
        for name, mean in main.groupby("method", sort=False)[key].mean().dropna().items()
    ]


def _worst(cells: pd.DataFrame) -> float:
    if cells["fold"].nunique() > 1:
        return float(cells.groupby("fold")["balanced_accuracy"].mean().min())
    key = "worst_site_balanced_accuracy"
    return float(cells[key].mean()) if key in cells else float("nan")


def _accuracy(value: float) -> str:
    return FIGURES["balanced_accuracy"].text(float(value))
