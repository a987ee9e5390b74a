"""The tables of a benchmark's page: means over seeds and folds, with their spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from dtfl_app.report.bench_reading import BenchContents
from dtfl_app.report.blocks import Cell, Column, Table

__all__ = ["bench_alarm_table", "bench_cost_table", "bench_figure_table", "sweep_tables"]

_LISTED = 6
# column of the stored table -> head, digits, factor
_COSTS = {
    "bytes_up": (Column("MB up", "to target, mean"), 2, 1e-6),
    "bytes_down": (Column("MB down", "to target, mean"), 2, 1e-6),
    "seconds": (Column("seconds", "to target, mean"), 1, 1.0),
    "site_steps": (Column("site steps", "to target, mean"), 0, 1.0),
    "server_steps": (Column("server steps", "to target, mean"), 0, 1.0),
}
_FIGURES = {
    "balanced_accuracy": (Column("balanced accuracy"), 3),
    "auc_pr": (Column("AUC-PR"), 3),
    "roc_auc": (Column("ROC-AUC"), 3),
    "s": (Column("S"), 3),
    "s_ttd": (Column("S_TTD"), 3),
    "s_clf": (Column("S_CLF"), 3),
}
_ALARMS = {
    "events_found": (Column("found", "events"), 1),
    "events": (Column("events"), 0),
    "hours_to_detection": (Column("hours to alarm"), 1),
    "false_alarm_rate": (Column("false-alarm rate", "share of normal steps"), 4),
    "false_alarms_per_day": (Column("false alarms", "stretches per day"), 2),
    "far_at_1pct": (Column("at 1%", "of settled normal steps"), 4),
    "far_at_05pct": (Column("at 0.5%", "of settled normal steps"), 4),
    "far_at_01pct": (Column("at 0.1%", "of settled normal steps"), 4),
    "worst_site_balanced_accuracy": (Column("worst site", "balanced accuracy"), 3),
}
_SWEPT = ("balanced_accuracy", "auc_pr", "s", "false_alarm_rate", "worst_site_balanced_accuracy")


def bench_cost_table(bench: BenchContents) -> Table:
    """Rounds, bytes, seconds and steps to the first target, over the cells that reached it."""
    target = bench.targets[0]
    columns = (
        Column("method", numeric=False),
        Column(f"rounds to {target}", "each cell"),
        Column("reached", "cells", numeric=False),
        *(column for column, _, _ in _COSTS.values()),
        *(Column(f"rounds to {other}", "each cell") for other in bench.targets[1:]),
    )
    rows = []
    for name, cells in _by_method(bench.main):
        rounds = cells[f"rounds_to_{target}"]
        costs = (
            _mean(cells[f"{cost}_to_{target}"] * factor, digits)
            for cost, (_, digits, factor) in _COSTS.items()
        )
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
    heads = {key: {**_FIGURES, **_ALARMS}[key] for key in _SWEPT if key in bench.cells}
    target = bench.targets[0]
    for place, (name, cells) in enumerate(swept.groupby("sweep", sort=False)):
        columns = (
            Column("method", numeric=False),
            Column(str(name), numeric=False),
            Column(f"rounds to {target}", "each cell"),
            *(column for column, _ in heads.values()),
        )
        rows = tuple(
            (
                Cell(method),
                Cell(str(point)),
                _rounds(at_point[f"rounds_to_{target}"]),
                *_figures(at_point, heads),
            )
            for method, of_method in _by_method(cells)
            for point, at_point in of_method.groupby("point", sort=False)
        )
        yield str(name), Table(f"sweep-{place}", f"Varied: {name}", columns, rows)


def _last_models(
    bench: BenchContents, name: str, caption: str, figures: Mapping[str, tuple[Column, int]]
) -> Table:
    heads = {key: head for key, head in figures.items() if key in bench.cells}
    groups = [*_by_method(bench.baselines), *_by_method(bench.main)]
    columns = (Column("method", numeric=False), *(column for column, _ in heads.values()))
    rows = tuple((Cell(method), *_figures(cells, heads)) for method, cells in groups)
    return Table(name, caption, columns, rows)


def _by_method(cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, group in cells.groupby("method", sort=False):
        yield str(name), group


def _figures(cells: pd.DataFrame, heads: Mapping[str, tuple[Column, int]]) -> list[Cell]:
    return [_mean(cells[key], digits, key) for key, (_, digits) in heads.items()]


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


def _mean(values: pd.Series, digits: int, key: str = "") -> Cell:
    known = values.dropna().astype(float)
    if known.empty:
        return Cell("-", None, key)
    mean, spread = float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else 0.0
    text = f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(known) > 1 else "")
    return Cell(text, mean, key)
