"""Which detector finds more: single time steps, or windows of them.

Run it from the repository: python -m benchmarks.detectors
Federations are played without Flower and without a twin: in each round every site trains the model
that came, and their mean is the next one (FedAvg). The folder that DTFL_DATA names (default
../shared/data) must hold batadal/ and 3w/. About ten minutes on one core, plus simulating what is
not cached. Writes benchmarks/results/detectors.md.
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.config import RunConfig
from dtfl_app.core.evidence import evidence_floors, evidence_kinds
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.metrics import Metrics
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params, set_params
from dtfl_app.detector.training import TrainingSpec, train_params
from dtfl_app.evaluation.baselines import Material, gather
from dtfl_app.evaluation.evaluator import evidence_metrics
from dtfl_app.inputs.preparation import model_spec, sketch_evidence
from dtfl_app.rounds.parameters import weighted_mean
from dtfl_app.sites.catalogue import open_dataset

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "detectors.md"
ROUNDS = (10, 30)
COMMON: dict[str, Value] = {"twin.kind": "none", "detector.calibration-trim": 0.2}
CPU = torch.device("cpu")
# (title, sites, settings)
FEDERATIONS: tuple[tuple[str, int, dict[str, Value]], ...] = (
    ("plants", 10, {"dataset": "plants"}),
    ("BATADAL", 10, {"dataset": "batadal"}),
    ("3W", 6, {"dataset": "threew", "data.protocol": "pooled"}),
)
DETECTORS: dict[str, dict[str, Value]] = {
    "autoencoder": {},
    "autoencoder, window 8": {"detector.window": 8},
    "temporal, window 8": {"detector.model": "temporal", "detector.window": 8},
}
HEAD = (
    "federation", "detector", "kB a model", "rounds", "balanced accuracy", "AUC-PR", "ROC-AUC",
    "events found", "false alarms at 0.5%",
)  # fmt: skip


def play(material: Material, rounds: Sequence[int], seed: int) -> Iterator[tuple[Metrics, int]]:
    """Figures after each of these numbers of rounds of FedAvg, and bytes of a model."""
    detector, settings = material.config.detector, material.config.train
    model = build_model(model_spec(detector, len(material.evaluation.features.names)), seed)
    params = get_params(model)
    for number in range(1, max(rounds) + 1):
        replies = []
        for name, (training, _) in zip(material.names, material.sites, strict=True):
            rows = training.rows(CPU).for_model(model)
            steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            fit = TrainingSpec(settings.lr, settings.batch_size)
            replies.append(train_params(params, model, rows, steps, fit, rng))
        params = weighted_mean(replies)
        if number in rounds:
            set_params(model, params)
            yield judge(material, model), sum(a.nbytes for a in params.values())


def judge(material: Material, model: Detector) -> Metrics:
    """Calibrate a model on all sites, and judge the evaluation set."""
    settings, evaluation = material.config.detector, material.evaluation
    kinds = evidence_kinds(settings.evidence)
    sketches = {
        name: sketch_evidence(kinds, own.evidence(model, settings), training, own)
        for name, (training, own) in zip(material.names, material.sites, strict=True)
    }
    calibration = Calibration(evidence_floors(kinds), sketches, settings.calibration_trim)
    evidence = evaluation.evidence(model, settings)
    return evidence_metrics(evidence, calibration, settings, evaluation.features, material.step_s)


def row(title: str, detector: str, rounds: int, size: int, found: Sequence[Metrics]) -> list[str]:
    """Mean over the seeds."""
    events = np.mean([m.events_found for m in found])
    return [
        title,
        detector,
        f"{size / 1000:.0f}",
        str(rounds),
        f"{np.mean([m.balanced_accuracy for m in found]):.3f}",
        f"{np.mean([m.auc_pr for m in found]):.3f}",
        f"{np.mean([m.roc_auc for m in found]):.3f}",
        f"{events:.1f} of {found[0].events}",
        f"{np.mean([m.far_at_05pct for m in found]):.2%}",
    ]


def main() -> None:
    """Play all federations with each detector and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    told = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for title, sites, settings in FEDERATIONS:
        for detector, more in DETECTORS.items():
            config = RunConfig.from_mapping({**COMMON, **settings, **more})
            material = gather(config, open_dataset(config), sites)
            played = [list(play(material, ROUNDS, seed)) for seed in range(told.seeds)]
            for rounds, found in zip(ROUNDS, zip(*played, strict=True), strict=True):
                judged = [metrics for metrics, _ in found]
                rows.append(row(title, detector, rounds, found[0][1], judged))
                print(*rows[-1], sep=" | ", flush=True)
    origin = Provenance.here(ROOT).to_mapping()
    made = provenance_line("python -m benchmarks.detectors", [origin])
    notes = NOTES.format(seeds=", ".join(map(str, range(told.seeds))))
    OUT.write_text("\n\n".join([notes, markdown(HEAD, rows), made]) + "\n")
    print(OUT)


NOTES = """\
# Detectors: single time steps, or windows of them

FedAvg, seeds {seeds}, default settings, scores of the sites bounded \
(`detector.calibration-trim` 0.2), no twin. Plants and \
BATADAL: ten sites, protocol unseen-events, hourly steps. 3W: six wells, pooled, five-minute \
windows, learned from normal operation alone. Means over the seeds; a window of 8 are eight time \
steps. False alarms: of settled normal steps, where 0.5% are \
wanted."""


if __name__ == "__main__":
    main()
