"""The tables of a benchmark, from the frame with one line per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dtfl_app.bench.cell_text import over_seeds, per_fold, rounds_text
from dtfl_app.bench.grid import Grid, Sweep, TableRow, Variant
from dtfl_app.detector.metrics import WANTED_RATES
from dtfl_app.report.bench_reading import method_name
from dtfl_app.results.figures import FIGURES, Figure, figures

__all__ = ["Table", "cost_table", "figure_table", "short_table", "sweep_table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Head and rows of text, every row as long as the head."""

    head: list[str]
    rows: list[list[str]]


_COSTS = figures("bytes_up", "bytes_down", "seconds", "site_steps", "server_steps")
_FIGURES = figures(
    "balanced_accuracy", "auc_pr", "base_rate", "roc_auc", "s", "s_ttd", "s_clf", "events_found",
    "hours_to_detection", "false_alarms_per_day", "false_alarm_rate", *WANTED_RATES,
    "worst_site_balanced_accuracy", "simulated_balanced_accuracy", "held_out_balanced_accuracy",
    "simulated_auc_pr", "held_out_auc_pr",
)  # fmt: skip
_SHORT = figures("balanced_accuracy", "auc_pr", "s", "events_found")
_SWEPT = figures(
    "balanced_accuracy", "auc_pr", "s", "false_alarm_rate", "worst_site_balanced_accuracy",
    "site_score", "twin_loss",
)  # fmt: skip
_FOLDS = figures("balanced_accuracy", "roc_auc")


def cost_table(frame: pd.DataFrame, grid: Grid, variants: Sequence[Variant]) -> Table:
    """What it took to reach the target: rounds per seed, megabytes, seconds, optimiser steps."""
    target, *others = (f"{t:g}" for t in grid.targets)
    head = ["method", f"rounds to {target}", "paper", *(cost.title for cost in _COSTS)]
    head += [f"{what} to {other}" for other in others for what in ("rounds", "MB")]
    rows = []
    for variant, row, lines in _federated(frame, grid, variants):
        seeds = variant.seeds or grid.seeds
        # What was published is the method as it is, not a variant of it.
        paper = "" if variant.name else row.paper
        cells = [method_name(row.name, variant.name), _rounds(lines, target, seeds), paper]
        cells += [_over(lines, cost.to(target)) for cost in _COSTS]
        for other in others:
            cells += [_rounds(lines, other, seeds), _megabytes(lines, other)]
        rows.append(cells)
    return Table(head, rows)


def figure_table(frame: pd.DataFrame, grid: Grid, variants: Sequence[Variant]) -> Table:
    """The last round's figures, baselines first; columns that nothing fills are left out."""
    first, *_ = variants
    base = frame[(frame["kind"] == "baseline") & (frame["variant"] == first.name)]
    named = [(name, base[base["row"] == name]) for name in dict.fromkeys(base["row"])]
    named += [
        (method_name(row.name, variant.name), lines)
        for variant, row, lines in _federated(frame, grid, variants)
    ]
    every = pd.concat([lines for _, lines in named])
    shown = [figure for figure in _FIGURES if _filled(every, figure)]
    folds = every["fold"].nunique() > 1 if len(every) else False
    head = ["method", *(figure.title for figure in shown)]
    head += [f"worst fold, {figure.title}" for figure in _FOLDS] if folds else []
    rows = []
    for name, lines in named:
        cells = [name, *(_figure(lines, figure) for figure in shown)]
        cells += [_worst_fold(lines, figure) for figure in _FOLDS] if folds else []
        rows.append(cells)
    return Table(head, rows)


def short_table(frame: pd.DataFrame, grid: Grid, variants: Sequence[Variant]) -> Table:
    """Cost of the target and the main figures in one table, for a front page."""
    costs, ends = cost_table(frame, grid, variants), figure_table(frame, grid, variants)
    heads = [figure.title for figure in _SHORT if figure.title in ends.head]
    by_name = {row[0]: row for row in costs.rows}
    target = f"{grid.targets[0]:g}"
    head = ["method", f"rounds to {target}", "paper", f"MB to {target}", *heads]
    megabytes = {
        method_name(row.name, variant.name): _megabytes(lines, target)
        for variant, row, lines in _federated(frame, grid, variants)
    }
    rows = [
        [
            row[0],
            *(by_name[row[0]][1:3] if row[0] in by_name else ["-", ""]),
            megabytes.get(row[0], "-"),
            *(row[ends.head.index(h)] for h in heads),
        ]
        for row in ends.rows
    ]
    return Table(head, rows)


def sweep_table(frame: pd.DataFrame, grid: Grid, sweep: Sweep) -> Table:
    """One line per row and value of a sweep."""
    target = f"{grid.targets[0]:g}"
    mine = frame[frame["sweep"] == sweep.name]
    shown = [figure for figure in _SWEPT if _filled(mine, figure)]
    head = ["method", sweep.name, f"rounds to {target}", f"MB to {target}"]
    rows = []
    for name in sweep.rows:
        for point in sweep.points:
            lines = mine[(mine["row"] == name) & (mine["point"] == point.label)]
            cells = [name, point.label, _rounds(lines, target, sweep.seeds or grid.seeds)]
            cells += [_megabytes(lines, target), *(_figure(lines, figure) for figure in shown)]
            rows.append(cells)
    return Table([*head, *(figure.title for figure in shown)], rows)


def _federated(
    frame: pd.DataFrame, grid: Grid, variants: Sequence[Variant]
) -> list[tuple[Variant, TableRow, pd.DataFrame]]:
    main = frame[(frame["kind"] == "federated") & (frame["sweep"] == "")]
    return [
        (variant, row, main[(main["row"] == row.name) & (main["variant"] == variant.name)])
        for variant in variants
        for row in grid.rows
        if not variant.rows or row.name in variant.rows
    ]


def _filled(lines: pd.DataFrame, figure: Figure) -> bool:
    return figure.key in lines and bool(lines[figure.key].notna().any())


def _figure(lines: pd.DataFrame, figure: Figure) -> str:
    text = _over(lines, figure)
    if figure.key != "events_found" or not len(lines) or text == "-":
        return text
    return f"{text} of {lines['events'].mean():g}"


def _over(lines: pd.DataFrame, figure: Figure) -> str:
    if figure.key not in lines or not len(lines):
        return "-"
    return figure.spread(over_seeds(lines, figure.key))


def _rounds(lines: pd.DataFrame, target: str, seeds: Sequence[int]) -> str:
    return rounds_text(lines, f"rounds_to_{target}", seeds) if len(lines) else "not run"


def _megabytes(lines: pd.DataFrame, target: str) -> str:
    both = (lines[f"bytes_up_to_{target}"] + lines[f"bytes_down_to_{target}"]) / 1e6
    return _over(lines.assign(megabytes=both), FIGURES["megabytes"])


def _worst_fold(lines: pd.DataFrame, figure: Figure) -> str:
    folds = per_fold(lines, figure.key)
    if not folds:
        return "-"
    worst = min(folds, key=lambda fold: folds[fold])
    return f"{figure.text(folds[worst])} ({worst})"
