"""Rounds to balanced accuracy 0.80 on BATADAL: six strategies and what they are compared with.

Protocol unseen-attacks: ten sites are time blocks of dataset03 (no attack), the evaluation is
dataset04 (attacks 1 to 7); default settings, horizon 100 rounds.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.runs import (
    BASELINES,
    RESULTS,
    STRATEGIES,
    WORK,
    Cell,
    average,
    rounds_text,
    run_cells,
    spread,
    stored_baselines,
    summaries,
    write_table,
)
from dtfl_app.launch import superlink
from dtfl_app.results.lines import read_lines

SITES = 10
PAPER = {
    "cwa": "33",
    "fpf": "41",
    "lpe": "48",
    "dtml": "87",
    "fedavg": "not in 100",
    "dtkd": "not in 100",
}
FIGURES = ("balanced_accuracy", "auc_pr", "roc_auc", "s", "s_ttd", "s_clf")
HEAD = (
    "method", "rounds to 0.80, per seed", "paper", "MB to 0.80", "site steps", "server steps",
    "balanced accuracy", "AUC-PR", "ROC-AUC", "S", "S_TTD", "S_CLF", "found", "false alarms/day",
)  # fmt: skip

# FedAvg and client-side DTKD lie on top of each other.
STYLE = {"dtkd": (0, (2, 2))}
# Columns of the README's table.
SUMMARY = (0, 1, 2, 3, 6, 7, 9, 12)


def cells(seed: int, rounds: int) -> dict[str, Cell]:
    """The runs of one seed: as published, distillation at the server, and with warm start."""
    base = {"dataset": "batadal", "rounds": rounds, "seed": seed, "data-seed": seed}
    every = ",".join(STRATEGIES)
    kinds = {
        "": {"strategy": every},
        "server": {"strategy": "dtkd", "kd-side": "server"},
        "warm": {"strategy": every, "twin-warm-start": True},
    }
    return {
        kind: Cell(f"batadal-{kind or 'cold'}-{rounds}-{seed}", {**base, **more}, SITES)
        for kind, more in kinds.items()
    }


def federated_rows(seeds: list[int], rounds: int) -> list[list[str]]:
    """One table row per method and start, over the seeds."""
    labels = {"": "", "server": ", server side", "warm": " + warm start"}
    rows = []
    for kind, label in labels.items():
        for strategy in ("dtkd",) if kind == "server" else STRATEGIES:
            entries = [summaries(cells(s, rounds)[kind])[strategy] for s in seeds]
            rows.append(federated_row(strategy + label, PAPER.get(strategy + label, ""), entries))
    return rows


def federated_row(name: str, paper: str, entries: list[dict]) -> list[str]:
    """Cells of one method; `entries` are its summaries, one per seed."""
    finals = [e["final"] for e in entries]
    return [
        name,
        rounds_text([e["rounds_to_target"] for e in entries], entries[0]["rounds"]),
        paper,
        spread([e["megabytes_to_target"] for e in entries], 1),
        spread([e["site_steps_to_target"] for e in entries], 0),
        spread([e["server_steps_to_target"] for e in entries], 0),
        *(spread([f[k] for f in finals]) for k in FIGURES),
        f"{spread([f['events_found'] for f in finals], 1)} of {finals[0]['events']}",
        spread([f["false_alarms_per_day"] for f in finals], 2),
    ]


def baseline_rows(seeds: list[int], rounds: int) -> list[list[str]]:
    """Rows of methods that do not federate; computed once per seed and stored."""
    per_seed = [stored_baselines(cells(seed, rounds)[""]) for seed in seeds]
    rows = []
    for name in BASELINES:
        groups = [entry[name] for entry in per_seed]
        rows.append(baseline_row(name, [average(group) for group in groups]))
        if name == "site alone":
            worst = [min(group, key=lambda m: m["balanced_accuracy"]) for group in groups]
            rows.append(baseline_row("site alone, worst", worst))
    return rows


def baseline_row(name: str, entries: list[dict[str, float]]) -> list[str]:
    """Cells of one baseline; `entries` are its figures, one per seed."""
    return [
        name, *["-"] * 5,
        *(spread([e[k] for e in entries]) for k in FIGURES),
        f"{spread([e['events_found'] for e in entries], 1)} of {entries[0]['events']:.0f}",
        spread([e["false_alarms_per_day"] for e in entries], 2),
    ]  # fmt: skip


def plot(seeds: list[int], rounds: int, path: Path) -> None:
    """Draw balanced accuracy over rounds: mean over seeds, band from lowest to highest."""
    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for strategy in STRATEGIES:
        curves = np.array([accuracy(cells(s, rounds)[""], strategy) for s in seeds])
        (line,) = axes.plot(
            curves.mean(axis=0), label=strategy, linewidth=1.8, linestyle=STYLE.get(strategy, "-")
        )
        axes.fill_between(
            range(curves.shape[1]), curves.min(axis=0), curves.max(axis=0),
            color=line.get_color(), alpha=0.15, linewidth=0,
        )  # fmt: skip
    axes.axhline(0.8, color="0.6", linestyle="--", linewidth=1)
    axes.set_xlabel("round")
    axes.set_ylabel("balanced accuracy on dataset04")
    axes.set_title(f"BATADAL, unseen attacks, {SITES} sites, {len(seeds)} seeds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def accuracy(cell: Cell, strategy: str) -> list[float]:
    """Balanced accuracy per round, from round 0."""
    lines = read_lines(WORK / cell.name / "metrics.jsonl")
    return [x.metrics.balanced_accuracy for x in lines if x.strategy == strategy and x.metrics]


def write_csv(seeds: list[int], rounds: int, path: Path) -> None:
    """Store every federated figure of every seed, for whoever wants to check."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "kind", "strategy", "rounds_to_target", *FIGURES])
        for seed in seeds:
            for kind, cell in cells(seed, rounds).items():
                for name, entry in summaries(cell).items():
                    figures = [entry["final"][k] for k in FIGURES]
                    writer.writerow(
                        [seed, kind or "cold", name, entry["rounds_to_target"], *figures]
                    )


def main() -> None:
    """Run what is missing, then write table, CSV and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=100)
    chosen = parser.parse_args()
    seeds = list(range(chosen.seeds))
    with superlink() as link:
        run_cells(link, [c for s in seeds for c in cells(s, chosen.rounds).values()])
    rows = baseline_rows(seeds, chosen.rounds) + federated_rows(seeds, chosen.rounds)
    notes = (
        f"BATADAL, protocol unseen-attacks: {SITES} sites are time blocks of dataset03, evaluation "
        f"on dataset04, target balanced accuracy 0.80, horizon {chosen.rounds} rounds, default "
        f"settings, {len(seeds)} seeds (mean ± standard deviation); figures of the last round."
    )
    write_table("batadal", HEAD, rows, notes)
    short = [[r[i] for i in SUMMARY] for r in rows if "warm" not in r[0]]
    write_table("batadal_summary", [HEAD[i] for i in SUMMARY], short, notes)
    write_csv(seeds, chosen.rounds, RESULTS / "batadal.csv")
    plot(seeds, chosen.rounds, RESULTS / "batadal.png")


if __name__ == "__main__":
    main()
