"""How several figures become the text of one cell of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

__all__ = ["over_seeds", "per_fold", "rounds_text"]


def over_seeds(lines: pd.DataFrame, column: str) -> list[float]:
    """Mean over the folds that have the figure, for each seed, in the order of seeds."""
    means = lines.groupby("seed")[column].mean()
    return [float(value) for value in means]


def per_fold(lines: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean over seeds for each fold."""
    means = lines.groupby("fold")[column].mean().dropna()
    return {str(fold): float(value) for fold, value in means.items()}


def rounds_text(lines: pd.DataFrame, column: str, seeds: Sequence[int]) -> str:
    """Rounds to a target: per seed "2, -, 3" (- = not within the horizon, ? = not run).

    With folds: the median of the runs that reached it, and how many did.
    """
    rounds = lines[column]
    if not len(lines):
        return "not run"
    if lines["fold"].nunique() > 1:
        reached = rounds.dropna()
        if reached.empty:
            return f"never in {len(rounds)} runs"
        return f"median {reached.median():g} ({len(reached)} of {len(rounds)} runs)"
    if rounds.isna().all() and set(seeds) == set(lines["seed"]):
        return f"not in {int(lines['horizon'].max())}"
    by_seed = dict(zip(lines["seed"], rounds, strict=True))
    return ", ".join(_round(by_seed, seed) for seed in seeds)


def _round(by_seed: dict[int, float], seed: int) -> str:
    if seed not in by_seed:
        return "?"
    return "-" if math.isnan(by_seed[seed]) else f"{by_seed[seed]:.0f}"
