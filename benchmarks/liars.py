"""Liars: how far sites that lie about their scores of normal operation move everybody's threshold.

Run it from the repository: python -m benchmarks.liars
Ten honest sites train on Flower's real engine, the embedded plants and, where its files are,
BATADAL. Then one, two or four of them exchange their calibration scores of the last model for lies,
and the threshold and what it finds are worked out anew, with and without the bound that
`detector.calibration-trim` sets. Writes benchmarks/results/liars.md. Some minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DataError
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.detector.calibration import SKETCH_LEVELS, Calibration, Sketch
from dtfl_app.detector.models import build_model
from dtfl_app.engine.launch import simulate, superlink
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.physics import open_physics
from dtfl_app.inputs.preparation import prepare, scaler_from_arrays
from dtfl_app.messages.calibration import EXAMPLES_LIMIT
from dtfl_app.results.saved_models import SavedModel, load_model
from dtfl_app.sites.catalogue import open_dataset
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "liars.md"
SITES = 10
STRATEGIES = ("fedavg", "cwa")
LIARS = (1, 2, 4)
TRIMS = (0.0, 0.2)
#: What a liar says: a sketch of its honest one.
LIES: Mapping[str, Callable[[Sketch], Sketch]] = {
    "1e300 throughout": lambda s: Sketch(s.count, np.full(len(SKETCH_LEVELS), 1e300)),
    "ten times its own": lambda s: Sketch(s.count, 10 * s.values),
    "0 throughout, 10 million of them": lambda s: Sketch(EXAMPLES_LIMIT, np.zeros(len(s.values))),
}


def main() -> None:
    """Play the honest runs that are missing, lie, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "bench" / "liars")
    chosen = parser.parse_args()
    parts = []
    for data in ("plants", "batadal"):
        try:
            open_dataset(RunConfig.from_mapping({"dataset": data})).load_evaluation(SITES)
        except DataError as error:
            print(f"{data} is left out: {error}")
            continue
        run = honest_run(data, chosen.rounds, chosen.seed, chosen.work)
        for name in STRATEGIES:
            rows = list(
                rows_of(data, chosen.seed, load_model(run / "models" / f"{name}.safetensors"))
            )
            parts.append(f"## {data}, {name}\n\n{markdown(HEAD, rows)}")
    origin = provenance_line("python -m benchmarks.liars", [Provenance.here(ROOT).to_mapping()])
    page = "\n\n".join([TEXT.format(rounds=chosen.rounds, seed=chosen.seed), *parts, origin])
    write_atomically(OUT, f"{page}\n".encode())
    print(f"written to {OUT}")


def honest_run(data: str, rounds: int, seed: int, work: Path) -> Path:
    """Return the folder of a finished honest run, played now if it is not there."""
    path = work / f"{data}-{rounds}-{seed}"
    if (path / "summary.json").exists():
        return path
    settings: dict[str, Value] = {
        "dataset": data, "strategy": ",".join(STRATEGIES), "sites": SITES, "rounds": rounds,
        "seed": seed, "results-dir": str(work), "run-name": path.name,
    }  # fmt: skip
    with superlink() as link:
        for _ in simulate(link, ROOT, settings, sites=SITES, actors=2):
            pass
    return path


def rows_of(data: str, seed: int, model: SavedModel) -> Iterator[list[str]]:
    """Yield the table's rows: honest, then each lie by each number of liars."""
    evaluator = evaluator_of(data, seed, model)
    honest = float(replace(model.calibration, trim=0.0).thresholds(model.false_alarm_rate)[0])
    yield ["honest", "0", *figures_of(evaluator, model, model.calibration.sites, honest)]
    order = np.random.default_rng([seed, SITES]).permutation(sorted(model.calibration.sites))
    for lie, tell in LIES.items():
        for liars in LIARS:
            lied = {s: [tell(one) for one in model.calibration.sites[s]] for s in order[:liars]}
            sites = {**model.calibration.sites, **lied}
            yield [lie, str(liars), *figures_of(evaluator, model, sites, honest)]


def figures_of(
    evaluator: Evaluator, model: SavedModel, sites: Mapping[str, Sequence[Sketch]], honest: float
) -> list[str]:
    """Per trim: threshold over the honest one, false alarms in settled normal steps, F1."""
    found = []
    for trim in TRIMS:
        calibration: Calibration = replace(model.calibration, sites=sites, trim=trim)
        threshold = float(calibration.thresholds(model.false_alarm_rate)[0])
        metrics = evaluator(model.params, calibration)
        found += [
            f"{threshold / honest:.3g}",
            f"{metrics.far_at_05pct:.2%}",
            f"{metrics.f1:.3f}",
        ]
    return found


def evaluator_of(data: str, seed: int, model: SavedModel) -> Evaluator:
    """What judges a model of the run, as the run's own server does."""
    config = RunConfig.from_mapping({"dataset": data, "sites": SITES, "seed": seed})
    dataset = open_dataset(config)
    dataset.prepare(SITES, lambda done, total: None)
    features, physics = dataset.load_evaluation(SITES), open_physics(config, dataset)
    assert features is not None and physics is None
    scaler = scaler_from_arrays({**model.scaler})
    rows = prepare(features, scaler, config.detector.window, {})
    step_s = dataset.feature_spec.step_s
    return Evaluator(build_model(model.spec, 0), rows, config.detector, step_s, dataset.site_of)


HEAD = (
    "lie", "liars",
    "threshold, no bound", "false alarms", "F1",
    "threshold, trim 0.2", "false alarms", "F1",
)  # fmt: skip

TEXT = (
    "# Sites that lie about their scores\n\n"
    "Ten sites, {rounds} rounds, seed {seed}, default settings, wanted false-alarm rate 0.5%. The "
    "last model is the honest one; liars exchange the sketch of its scores that they send. "
    "Thresholds are shown over that of the honest sites, without a bound. A trim of 0.2 stands up "
    "to two liars of ten; four are beyond it."
)


if __name__ == "__main__":
    main()
