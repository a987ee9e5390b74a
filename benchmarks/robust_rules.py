"""What the rules of aggregation cost, and what Krum chooses by float32 inner products.

Run it from the repository: python -m benchmarks.robust_rules
Nothing is trained: replies are random models. Seconds on one core. Writes
benchmarks/results/robust_rules.md.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum
from numpy.typing import NDArray

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.core.sections import TrustSettings
from dtfl_app.core.text_tables import markdown
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import Params, get_params
from dtfl_app.inputs.preparation import model_spec
from dtfl_app.rounds.aggregation import aggregate
from dtfl_app.rounds.rules import krum_order

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "robust_rules.md"
REPLIES, CHANNELS, ROUNDS, REPEATS = 10, 43, 50, 50
MALICIOUS = 2
NORM = 10.0
RULES = ("mean", "trimmed-mean", "median", "krum", "multi-krum")


def default_model() -> Params:
    """The detector of a plant with all default settings."""
    return get_params(build_model(model_spec(DetectorSettings(), CHANNELS), seed=0))


def costs(rng: np.random.Generator) -> list[list[str]]:
    """Time each rule on replies of the default autoencoder; equal and unequal weights."""
    model = default_model()
    replies = [
        {k: v + rng.normal(0, 0.01, v.shape).astype(np.float32) for k, v in model.items()}
        for _ in range(REPLIES)
    ]
    unequal = list(rng.uniform(1, 2, REPLIES))
    table = {
        rule: [milliseconds(replies, w, rule) for w in ([1.0] * REPLIES, unequal)] for rule in RULES
    }
    mean = table["mean"][0]
    return [[rule, *(f"{t:.1f}" for t in ts), f"{ts[0] / mean:.1f}"] for rule, ts in table.items()]


def milliseconds(replies: list[Params], weights: list[float], rule: str) -> float:
    """Return the median processor time, which other processes do not lengthen."""
    settings, times = replace(TrustSettings(), aggregation=rule), []
    for _ in range(REPEATS):
        started = time.process_time()
        aggregate(replies, weights, settings)
        times.append(time.process_time() - started)
    return 1e3 * float(np.median(times))


def choices(rng: np.random.Generator) -> list[list[str]]:
    """Compare Flower's choice with ours while updates shrink around weights of norm 10.

    Eight honest updates share a direction and differ by 0.7 of their length; two are flipped and
    four times as long.
    """
    rows = []
    for size in (1.0, 1e-1, 1e-2, 1e-3, 1e-4):
        rounds = [chosen(rng, size) for _ in range(ROUNDS)]
        theirs, ours, errors = zip(*rounds, strict=True)
        rows.append(
            [
                f"{size:g}",
                f"{np.median(errors):.0%}",
                str(sum(a != b for a, b in zip(theirs, ours, strict=True))),
                str(sum(place < MALICIOUS for place in theirs)),
                str(sum(place < MALICIOUS for place in ours)),
            ]
        )
    return rows


def chosen(rng: np.random.Generator, size: float) -> tuple[int, int, float]:
    """Return which reply Flower and we choose, and the largest error of Flower's distances."""
    base, common = of_length(rng, NORM), of_length(rng, size)
    updates = [common + of_length(rng, 0.7 * size) for _ in range(REPLIES)]
    updates[:MALICIOUS] = [-4 * update for update in updates[:MALICIOUS]]
    replies = [{"w": (base + update).astype(np.float32)} for update in updates]
    contents = [RecordDict({"a": ArrayRecord({"w": Array(r["w"])})}) for r in replies]
    (best,) = select_multikrum(contents, MALICIOUS, 1)
    wide = np.stack([reply["w"].astype(np.float64) for reply in replies])
    exact = np.square(wide[:, None] - wide[None]).sum(axis=2)
    error = np.abs(compute_distances([c.array_records["a"] for c in contents]) - exact).max()
    theirs = next(place for place, content in enumerate(contents) if content is best)
    return theirs, krum_order(replies, MALICIOUS)[0], float(error / exact.mean())


def of_length(rng: np.random.Generator, length: float) -> NDArray[np.float64]:
    """A vector of random direction with as many values as a small model."""
    vector = rng.normal(size=5_000)
    return vector * (length / float(np.linalg.norm(vector)))


def main() -> None:
    """Measure both and write the page."""
    rng = np.random.default_rng(0)
    size = sum(value.size for value in default_model().values())
    cost_head = ("rule", "ms, equal weights", "ms, unequal", "times the mean")
    choice_head = ("update", "error of distances", "other choice", "liar, Flower", "liar, ours")
    parts = [
        "# Rules of aggregation: cost and precision",
        f"{REPLIES} replies of the default autoencoder on {CHANNELS} channels ({size:,} "
        f"parameters), processor time, median of {REPEATS}:",
        markdown(cost_head, costs(rng)),
        f"Krum's choice among {REPLIES} replies, {MALICIOUS} of them liars, around weights of norm "
        f"{NORM:g}, {ROUNDS} random rounds per row: length of an honest update; largest error of "
        "Flower's squared distances against their mean (median over rounds); rounds in which "
        "Flower chooses another reply than float64 distances do; rounds in which a liar is chosen.",
        markdown(choice_head, choices(rng)),
        provenance_line("python -m benchmarks.robust_rules", [Provenance.here(ROOT).to_mapping()]),
    ]
    OUT.write_text("\n\n".join(parts) + "\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main()
