"""3W: six real oil wells as sites, their OLGA simulations as the twin.

leave-one-site-out: five wells train, the sixth is judged, each in turn. pooled: six wells train,
later recordings of those with several are judged. Detector: the classifier, since wells carry
labels. Everything else as by default.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.runs import (
    BASELINES,
    STRATEGIES,
    Cell,
    average,
    run_cells,
    spread,
    stored_baselines,
    summaries,
    write_table,
)
from dtfl_app.launch import superlink

WELLS = ("00003", "00009", "00010", "00011", "00012", "00013")
HEAD = (
    "method", "ROC-AUC", "worst well", "AUC-PR", "base rate", "balanced accuracy", "worst well",
    "rounds to 0.80", "ROC-AUC, pooled", "balanced accuracy, pooled",
)  # fmt: skip

Figures = dict[str, float]


def cell(well: str, seed: int, rounds: int, warm: bool) -> Cell:
    """One run; `well` "" is the pooled protocol."""
    settings = {
        "dataset": "threew",
        "model": "classifier",
        "protocol": "leave-one-site-out" if well else "pooled",
        "held-out": f"WELL-{well}" if well else "",
        "strategy": ",".join(STRATEGIES),
        "rounds": rounds,
        "seed": seed,
        "data-seed": seed,
        "twin-warm-start": warm,
    }
    name = f"threew-{well or 'pooled'}-{'warm' if warm else 'cold'}-{rounds}-{seed}"
    return Cell(name, settings, len(WELLS) - bool(well))


def federated(well: str, seeds: list[int], rounds: int, warm: bool, strategy: str) -> list[dict]:
    """Summaries of one method, one per seed; `well` "" is the pooled protocol."""
    return [summaries(cell(well, seed, rounds, warm))[strategy] for seed in seeds]


def federated_row(strategy: str, seeds: list[int], rounds: int, warm: bool) -> list[str]:
    """Means over seeds per well, then mean and worst over wells."""
    runs = {well: federated(well, seeds, rounds, warm, strategy) for well in (*WELLS, "")}
    finals = {well: [run["final"] for run in of_well] for well, of_well in runs.items()}
    hits = [run["rounds_to_target"] for well in WELLS for run in runs[well]]
    return row(strategy + (" + warm start" if warm else ""), finals, rounds_summary(hits))


def row(name: str, finals: dict[str, list[Figures]], rounds: str) -> list[str]:
    """Cells of one row; `finals` are the figures per well ("" = pooled) and seed."""

    def per_well(key: str) -> list[float]:
        return [float(np.mean([f[key] for f in finals[well]])) for well in WELLS]

    def over_seeds(key: str) -> str:
        seeds = range(len(finals[WELLS[0]]))
        return spread([float(np.mean([finals[w][i][key] for w in WELLS])) for i in seeds])

    return [
        name, over_seeds("roc_auc"), f"{min(per_well('roc_auc')):.3f}",
        over_seeds("auc_pr"), f"{np.mean(per_well('base_rate')):.3f}",
        over_seeds("balanced_accuracy"), f"{min(per_well('balanced_accuracy')):.3f}", rounds,
        spread([f["roc_auc"] for f in finals[""]]),
        spread([f["balanced_accuracy"] for f in finals[""]]),
    ]  # fmt: skip


def rounds_summary(hits: list[int | None]) -> str:
    """Median round of the runs that reached the target, and how many did."""
    reached = [hit for hit in hits if hit is not None]
    if not reached:
        return f"never in {len(hits)} runs"
    return f"median {np.median(reached):.0f} ({len(reached)} of {len(hits)} runs)"


def baseline_rows(seeds: list[int], rounds: int) -> list[list[str]]:
    """One row per baseline, over the seeds."""
    stored = {
        (w, s): stored_baselines(cell(w, s, rounds, warm=False))
        for w in (*WELLS, "")
        for s in seeds
    }
    rows = []
    for name in BASELINES:
        finals = {
            well: [average(stored[well, seed][name]) for seed in seeds] for well in (*WELLS, "")
        }
        rows.append(row(name, finals, "-"))
    return rows


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm-seeds", type=int, default=3, help="seeds of the warm starts")
    chosen = parser.parse_args()
    rounds, seeds = chosen.rounds, list(range(chosen.seeds))
    starts = {False: seeds, True: list(range(chosen.warm_seeds))}
    with superlink() as link:
        targets = (*WELLS, "")
        run_cells(
            link,
            [cell(w, s, rounds, x) for x, some in starts.items() for s in some for w in targets],
        )
    rows = baseline_rows(seeds, rounds)
    for warm, some in starts.items():
        rows += [federated_row(strategy, some, rounds, warm) for strategy in STRATEGIES]
    notes = (
        "3W class 2, six real wells as sites, the OLGA simulations as recorded twin; classifier on "
        "5-minute windows. Left: leave-one-site-out, mean over the six held-out wells; right: "
        f"pooled. {rounds} rounds, {len(seeds)} seeds, warm starts {chosen.warm_seeds} (mean ± "
        'standard deviation); figures of the last round; "site alone" is the mean over the '
        "training wells."
    )
    write_table("threew", HEAD, rows, notes)


if __name__ == "__main__":
    main()
