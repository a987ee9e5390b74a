"""The tables of a benchmark, from the frame with one line per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dtfl_app.bench.cell_text import over_seeds, per_fold, rounds_text, spread
from dtfl_app.bench.grid import Grid, Sweep, TableRow, Variant

__all__ = ["Table", "cost_table", "figure_table", "method_name", "short_table", "sweep_table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Head and rows of text, every row as long as the head."""

    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A column of the table of figures: heading, column of the frame, digits, factor."""

    head: str
    column: str
    digits: int = 3
    factor: float = 1.0


_FIGURES = (
    _Figure("balanced accuracy", "balanced_accuracy"),
    _Figure("AUC-PR", "auc_pr"),
    _Figure("base rate", "base_rate"),
    _Figure("ROC-AUC", "roc_auc"),
    _Figure("S", "s"),
    _Figure("S_TTD", "s_ttd"),
    _Figure("S_CLF", "s_clf"),
    _Figure("found", "events_found", 1),
    _Figure("hours to detection", "hours_to_detection", 1),
    _Figure("false alarms/day", "false_alarms_per_day", 2),
    _Figure("false alarms, %", "false_alarm_rate", 2, 100.0),
    _Figure("at 1%", "far_at_1pct", 2, 100.0),
    _Figure("at 0.5%", "far_at_05pct", 2, 100.0),
    _Figure("at 0.1%", "far_at_01pct", 2, 100.0),
    _Figure("worst site", "worst_site_balanced_accuracy"),
    _Figure("balanced accuracy, simulated families", "simulated_balanced_accuracy"),
    _Figure("held-out families", "held_out_balanced_accuracy"),
    _Figure("AUC-PR, simulated families", "simulated_auc_pr"),
    _Figure("AUC-PR, held-out families", "held_out_auc_pr"),
)
_SHORT = ("balanced_accuracy", "auc_pr", "s", "events_found")
# What the server itself can see of the twin's help, last round.
_SIGNALS = ("site_score", "twin_loss")
_SWEPT = ("balanced_accuracy", "auc_pr", "s", "false_alarm_rate", "worst_site_balanced_accuracy")


def method_name(row: str, variant: str) -> str:
    """How a row of a variant is called."""
    return f"{row}, {variant}" if variant else row


def cost_table(frame: pd.DataFrame, grid: Grid, variants: Sequence[Variant]) -> Table:
    """What it took to reach the target: rounds per seed, megabytes, seconds, optimiser steps."""
    target, *others = (f"{t:g}" for t in grid.targets)
    head = [
        "method", f"rounds to {target}", "paper", "MB up", "MB down", "seconds", "site steps",
        "server steps", *(f"{what} to {t}" for t in others for what in ("rounds", "MB")),
    ]  # fmt: skip
    rows = []
    for variant, row, lines in _federated(frame, grid, variants):
        seeds = variant.seeds or grid.seeds
        costs = [("bytes_up", 2, 1e-6), ("bytes_down", 2, 1e-6), ("seconds", 1, 1.0)]
        steps = [("site_steps", 0, 1.0), ("server_steps", 0, 1.0)]
        # What was published is the method as it is, not a variant of it.
        paper = "" if variant.name else row.paper
        cells = [method_name(row.name, variant.name), _rounds(lines, target, seeds), paper]
        cells += [_over(lines, f"{c}_to_{target}", d, f) for c, d, f in [*costs, *steps]]
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
    shown = [f for f in _FIGURES if _filled(every, f.column)]
    folds = every["fold"].nunique() > 1 if len(every) else False
    head = ["method", *(f.head for f in shown)]
    head += ["worst fold, balanced accuracy", "worst fold, ROC-AUC"] if folds else []
    rows = []
    for name, lines in named:
        cells = [name, *(_figure(lines, f) for f in shown)]
        if folds:
            cells += [_worst_fold(lines, "balanced_accuracy"), _worst_fold(lines, "roc_auc")]
        rows.append(cells)
    return Table(head, rows)


def short_table(frame: pd.DataFrame, grid: Grid, variants: Sequence[Variant]) -> Table:
    """Cost of the target and the main figures in one table, for a front page."""
    costs, figures = cost_table(frame, grid, variants), figure_table(frame, grid, variants)
    heads = [f.head for f in _FIGURES if f.column in _SHORT and f.head in figures.head]
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
            *(row[figures.head.index(h)] for h in heads),
        ]
        for row in figures.rows
    ]
    return Table(head, rows)


def sweep_table(frame: pd.DataFrame, grid: Grid, sweep: Sweep) -> Table:
    """One line per row and value of a sweep."""
    target = f"{grid.targets[0]:g}"
    mine = frame[frame["sweep"] == sweep.name]
    shown = [f for f in _FIGURES if f.column in _SWEPT and _filled(mine, f.column)]
    signals = [_Figure(s.replace("_", " "), s, 4) for s in _SIGNALS if _filled(mine, s)]
    figures = [*shown, *signals]
    head = ["method", sweep.name, f"rounds to {target}", f"MB to {target}"]
    rows = []
    for name in sweep.rows:
        for point in sweep.points:
            lines = mine[(mine["row"] == name) & (mine["point"] == point.label)]
            cells = [name, point.label, _rounds(lines, target, sweep.seeds or grid.seeds)]
            cells += [_megabytes(lines, target), *(_figure(lines, f) for f in figures)]
            rows.append(cells)
    return Table([*head, *(f.head for f in figures)], rows)


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


def _filled(lines: pd.DataFrame, column: str) -> bool:
    return column in lines and bool(lines[column].notna().any())


def _figure(lines: pd.DataFrame, figure: _Figure) -> str:
    text = _over(lines, figure.column, figure.digits, figure.factor)
    if figure.column != "events_found" or not len(lines) or text == "-":
        return text
    return f"{text} of {lines['events'].mean():g}"


def _over(lines: pd.DataFrame, column: str, digits: int, factor: float = 1.0) -> str:
    if column not in lines or not len(lines):
        return "-"
    return spread([value * factor for value in over_seeds(lines, column)], digits)


def _rounds(lines: pd.DataFrame, target: str, seeds: Sequence[int]) -> str:
    return rounds_text(lines, f"rounds_to_{target}", seeds) if len(lines) else "not run"


def _megabytes(lines: pd.DataFrame, target: str) -> str:
    both = lines.assign(both=lines[f"bytes_up_to_{target}"] + lines[f"bytes_down_to_{target}"])
    return _over(both, "both", 2, 1e-6)


def _worst_fold(lines: pd.DataFrame, column: str) -> str:
    folds = per_fold(lines, column)
    if not folds:
        return "-"
    worst = min(folds, key=lambda fold: folds[fold])
    return f"{folds[worst]:.3f} ({worst})"
