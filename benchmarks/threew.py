"""3W: six real oil wells as sites, their OLGA simulations as the twin.

leave-one-site-out: five wells train, the sixth is judged, each in turn. pooled: six wells train,
later recordings of those with several are judged. Detector: the classifier, since wells carry
labels. Everything else as by default.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from benchmarks.runs import STRATEGIES, WORK, Cell, run_cells, spread, summaries, write_table
from dtfl_app.baselines import gather, measure
from dtfl_app.datasets import open_dataset
from dtfl_app.launch import superlink

WELLS = ("00003", "00009", "00010", "00011", "00012", "00013")
BASELINES = (
    "random score",
    "untrained model",
    "one-class PCA",
    "twin only",
    "site alone",
    "centralised",
)
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
    return [summaries(cell(well, seed, rounds, warm))[strategy] for seed in seeds]


def federated_row(strategy: str, seeds: list[int], rounds: int, warm: bool) -> list[str]:
    """Means over seeds per well, then mean and worst over wells."""
    runs = {well: federated(well, seeds, rounds, warm, strategy) for well in (*WELLS, "")}
    finals = {well: [run["final"] for run in of_well] for well, of_well in runs.items()}
    hits = [run["rounds_to_target"] for well in WELLS for run in runs[well]]
    return row(strategy + (" + warm start" if warm else ""), finals, rounds_summary(hits))


def row(name: str, finals: dict[str, list[Figures]], rounds: str) -> list[str]:
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
    reached = [hit for hit in hits if hit is not None]
    if not reached:
        return f"never in {len(hits)} runs"
    return f"median {np.median(reached):.0f} ({len(reached)} of {len(hits)} runs)"


def baseline(well: str, seed: int, rounds: int) -> dict[str, list[Figures]]:
    """Measure the rows that do not federate, or read them where they are stored."""
    this = cell(well, seed, rounds, warm=False)
    path = WORK / f"{this.name}-baselines.json"
    if not path.exists():
        config = this.config()
        measured = measure(gather(config, open_dataset(config), this.sites))
        plain = {name: [m.as_dict() for m in entries] for name, entries in measured.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plain))
    return json.loads(path.read_text())


def baseline_rows(seeds: list[int], rounds: int) -> list[list[str]]:
    stored = {(w, s): baseline(w, s, rounds) for w in (*WELLS, "") for s in seeds}
    rows = []
    for name in BASELINES:
        finals = {
            well: [average(stored[well, seed][name]) for seed in seeds] for well in (*WELLS, "")
        }
        rows.append(row(name, finals, "-"))
    return rows


def average(entries: list[Figures]) -> Figures:
    return {key: float(np.mean([e[key] for e in entries])) for key in entries[0]}


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    seeds, rounds = list(range(chosen.seeds)), chosen.rounds
    with superlink() as link:
        run_cells(
            link,
            [
                cell(w, s, rounds, warm)
                for s in seeds
                for warm in (False, True)
                for w in (*WELLS, "")
            ],
        )
    rows = baseline_rows(seeds, rounds)
    rows += [federated_row(s, seeds, rounds, warm) for warm in (False, True) for s in STRATEGIES]
    notes = (
        "3W class 2, six real wells as sites, the OLGA simulations as recorded twin; classifier on "
        "5-minute windows. Left: leave-one-site-out, mean over the six held-out wells; right: "
        f"pooled. {rounds} rounds, {len(seeds)} seeds (mean ± standard deviation); figures of the "
        'last round; "site alone" is the mean over the training wells.'
    )
    write_table("threew", HEAD, rows, notes)


if __name__ == "__main__":
    main()
