"""Which evidence to weigh on BATADAL, chosen without the attack it is judged by.

Run it from the repository, after `dtfl bench benchmarks/batadal_physics.toml`:
python -m benchmarks.cross_validation
It takes the bench's finished cells of one method. For each of dataset04's seven attacks the choice
of evidence and false-alarm rate with the best mean score over the other six attacks and over all
seeds is judged on the one left out. The score of one attack is BATADAL's S of that attack's hours
and all normal hours. Nothing is trained or calibrated here. Writes
benchmarks/results/cross_validation.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.evidence import KINDS, evidence_kinds, laws_among
from dtfl_app.core.text_tables import markdown
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.metrics import evaluate_scores
from dtfl_app.evaluation.saved_model import file_evidence, find_model
from dtfl_app.results.saved_models import load_model

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DTFL_DATA") or ROOT.parent / "shared" / "data")
OUT = ROOT / "benchmarks" / "results" / "cross_validation.md"
RATES = (0.01, 0.005, 0.002)
Choice = tuple[tuple[str, ...], float]


def main() -> None:
    """Score every choice on every attack, then choose without the attack judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", default="cwa")
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "bench")
    chosen = parser.parse_args()
    runs = stored_runs(chosen.work, chosen.strategy)
    tables = [attack_scores(run, chosen.strategy) for run in runs]
    attacks = list(next(iter(tables[0].values())))
    mean = {
        choice: np.mean([[table[choice][a] for a in attacks] for table in tables], axis=0)
        for choice in tables[0]
    }
    text = "\n\n".join([left_out_table(mean, attacks), choices_table(mean, attacks)])
    command = f"python -m benchmarks.cross_validation --strategy {chosen.strategy}"
    origin = provenance_line(command, [Provenance.here(ROOT).to_mapping()])
    notes = f"{len(tables)} runs of {chosen.strategy} on BATADAL, the last model of each."
    OUT.write_text(f"{notes}\n\n{text}\n\n{origin}\n")
    print(OUT.read_text())


def stored_runs(work: Path, strategy: str) -> list[Path]:
    """Folders of finished BATADAL cells of `strategy` that weigh all kinds of evidence."""
    found = []
    for cell in sorted(work.glob("cells/*/cell.json")):
        about = json.loads(cell.read_text())
        settings = about.get("settings", {})
        kinds = set(str(settings.get("detector.evidence", "")).split(","))
        wanted = about.get("strategy") == strategy and settings.get("dataset") == "batadal"
        if wanted and kinds == set(KINDS):
            found.append(cell.parent)
    if not found:
        sys.exit(f"{work}: no finished cell of {strategy} with all evidence; run the bench first")
    return found


def attack_scores(run: Path, strategy: str) -> dict[Choice, dict[str, float]]:
    """Return choice -> attack -> S of that attack, for one run's model on dataset04."""
    folder, path = find_model(run, strategy)
    saved = load_model(path)
    kinds = [kind.name for kind in evidence_kinds(saved.evidence)]
    data = DATA / "batadal" / "BATADAL_dataset04.csv"
    features, evidence = file_evidence(folder, path, data, str(DATA))
    scores: dict[Choice, dict[str, float]] = {}
    for subset in subsets(kinds):
        columns = [kinds.index(kind) for kind in subset]
        calibration = Calibration(
            saved.calibration.floors[columns],
            {site: [row[c] for c in columns] for site, row in saved.calibration.sites.items()},
        )
        for rate in RATES:
            alarm = calibration.exceeds(evidence[:, columns], rate)
            scores[subset, rate] = per_attack(alarm, features.label, features.event)
    return scores


def subsets(kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """All subsets of the kinds with at least one of the model's, and physics alone."""
    every = [c for n in range(1, len(kinds) + 1) for c in combinations(kinds, n)]
    physical = {law.name for law in laws_among(KINDS.values())}
    return [c for c in every if set(c) - physical or set(c) == physical]


def per_attack(
    alarm: NDArray[np.bool_], label: NDArray[np.int8], event: NDArray[np.str_]
) -> dict[str, float]:
    """BATADAL's S of each attack: its own hours and all normal hours."""
    found = {}
    for attack in dict.fromkeys(str(e) for e in event if e):
        rows = (event == attack) | (label == 0)
        found[attack] = evaluate_scores(
            alarm[rows].astype(float), 0.5, label[rows], event[rows], 3600.0
        ).s
    return found


def left_out_table(mean: dict[Choice, NDArray[np.float64]], attacks: list[str]) -> str:
    """Per attack: what the others would choose, and what that gives on it."""
    rows, scores = [], []
    for i, attack in enumerate(attacks):
        others = {choice: np.delete(values, i).mean() for choice, values in mean.items()}
        best = max(others, key=lambda choice: others[choice])
        scores.append(mean[best][i])
        rows.append([attack, *name(best), f"{others[best]:.3f}", f"{mean[best][i]:.3f}"])
    rows.append(["mean", "", "", "", f"{np.mean(scores):.3f}"])
    head = ("left out", "evidence chosen", "rate", "S of the other six", "S of the one left out")
    return markdown(head, rows)


def choices_table(mean: dict[Choice, NDArray[np.float64]], attacks: list[str]) -> str:
    """The best choice of each subset's rate, with S per attack."""
    best: dict[tuple[str, ...], Choice] = {}
    for choice, values in mean.items():
        if choice[0] not in best or values.mean() > mean[best[choice[0]]].mean():
            best[choice[0]] = choice
    ordered = sorted(best.values(), key=lambda choice: -mean[choice].mean())
    rows = [
        [*name(choice), f"{mean[choice].mean():.3f}", *(f"{s:.2f}" for s in mean[choice])]
        for choice in ordered
    ]
    return markdown(("evidence", "rate", "S, mean over attacks", *attacks), rows)


def name(choice: Choice) -> tuple[str, str]:
    """Evidence and false-alarm rate as text."""
    return ", ".join(choice[0]), f"{choice[1]:.1%}"


if __name__ == "__main__":
    main()
