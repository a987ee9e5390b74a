"""The tables of a benchmark's page: means over seeds and folds, with their spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from dtfl_app.detector.metrics import WANTED_RATES
from dtfl_app.report.bench_reading import BenchContents
from dtfl_app.report.blocks import Cell, Column, Table
from dtfl_app.report.run_tables import figure_column
from dtfl_app.results.figures import Figure, figures

__all__ = ["bench_alarm_table", "bench_cost_table", "bench_figure_table", "sweep_tables"]

_LISTED = 6
_COSTS = figures("bytes_up", "bytes_down", "seconds", "site_steps", "server_steps")
_FIGURES = figures("balanced_accuracy", "auc_pr", "roc_auc", "s", "s_ttd", "s_clf")
_ALARMS = figures(
    "events_found", "events", "hours_to_detection", "false_alarm_rate", "false_alarms_per_day",
    *WANTED_RATES, "worst_site_balanced_accuracy",
)  # fmt: skip
_SWEPT = figures(
    "balanced_accuracy", "auc_pr", "s", "false_alarm_rate", "worst_site_balanced_accuracy"
)


def bench_cost_table(bench: BenchContents) -> Table:
    """Rounds, bytes, seconds and steps to the first target, over the cells that reached it."""
    target = bench.targets[0]
    columns = (
        Column("method", numeric=False),
        Column(f"rounds to {target}", "each cell"),
        Column("reached", "cells", numeric=False),
        *(Column(cost.title, "to target, mean") for cost in _COSTS),
        *(Column(f"rounds to {other}", "each cell") for other in bench.targets[1:]),
    )
    rows = []
    for name, cells in _by_method(bench.main):
        rounds = cells[f"rounds_to_{target}"]
        costs = (_mean(cost.to(target), cells) for cost in _COSTS)
        others = (_rounds(cells[f"rounds_to_{other}"]) for other in bench.targets[1:])
        reached = Cell(f"{rounds.notna().sum()} of {len(rounds)}")
        rows.append((Cell(name), _rounds(rounds), reached, *costs, *others))
    caption = f"What it took to reach balanced accuracy {target}"
    return Table("costs", caption, columns, tuple(rows))


def bench_figure_table(bench: BenchContents) -> Table:
    """Figures of the last models, mean and standard deviation, baselines first."""
    return _last_models(bench, "figures", "Where it ended, mean ± standard deviation", _FIGURES)


def bench_alarm_table(bench: BenchContents) -> Table:
    """What the last models' alarms found, and the worst site, baselines first."""
    return _last_models(bench, "alarms", "Alarms of the last models and the worst site", _ALARMS)


def sweep_tables(bench: BenchContents) -> Iterator[tuple[str, Table]]:
    """Yield (name, table) per sweep: each method at each value."""
    swept = bench.cells[bench.cells["sweep"] != ""]
    shown = [figure for figure in _SWEPT if figure.key in bench.cells]
    target = bench.targets[0]
    for place, (name, cells) in enumerate(swept.groupby("sweep", sort=False)):
        columns = (
            Column("method", numeric=False),
            Column(str(name), numeric=False),
            Column(f"rounds to {target}", "each cell"),
            *map(figure_column, shown),
        )
        rows = tuple(
            (
                Cell(method),
                Cell(str(point)),
                _rounds(at_point[f"rounds_to_{target}"]),
                *_means(shown, at_point),
            )
            for method, of_method in _by_method(cells)
            for point, at_point in of_method.groupby("point", sort=False)
        )
        yield str(name), Table(f"sweep-{place}", f"Varied: {name}", columns, rows)


def _last_models(bench: BenchContents, name: str, caption: str, figures: Sequence[Figure]) -> Table:
    shown = [figure for figure in figures if figure.key in bench.cells]
    groups = [*_by_method(bench.baselines), *_by_method(bench.main)]
    columns = (Column("method", numeric=False), *map(figure_column, shown))
    rows = tuple((Cell(method), *_means(shown, cells)) for method, cells in groups)
    return Table(name, caption, columns, rows)


def _by_method(cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, group in cells.groupby("method", sort=False):
        yield str(name), group


def _means(figures: Sequence[Figure], cells: pd.DataFrame) -> list[Cell]:
    return [_mean(figure, cells) for figure in figures]


def _rounds(values: pd.Series) -> Cell:
    """The rounds of each cell, or their median and range; its number is the median."""
    reached = values.dropna()
    if reached.empty:
        return Cell("not reached")
    if len(values) <= _LISTED:
        text = ", ".join("-" if np.isnan(v) else f"{v:.0f}" for v in values)
    else:
        text = f"{reached.median():g} ({reached.min():.0f} to {reached.max():.0f})"
    return Cell(text, float(reached.median()))


def _mean(figure: Figure, cells: pd.DataFrame) -> Cell:
    """Mean and spread over the cells that have the figure; the cell's number is the mean."""
    known = cells[figure.key].dropna().astype(float)
    return Cell(figure.spread(known), float(known.mean()) if len(known) else None, figure.key)
