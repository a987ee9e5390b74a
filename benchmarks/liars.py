"""Liars: how far sites that lie about their scores of normal operation move everybody's threshold.

Run it from the repository: python -m benchmarks.liars
Ten honest sites train on Flower's real engine, the embedded plants and, where its files are,
BATADAL. Then one, two or four of them exchange their calibration scores of the last model for lies,
and the threshold and what it finds are worked out anew, with and without the bound that
`detector.calibration-trim` sets. What the bound changes where nobody lies is shown for
every method. Writes benchmarks/results/liars.md. Half an hour on two cores.
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
SITES = {"plants": 10, "batadal": 10, "threew": 6}
#: What is set besides the defaults.
MORE: Mapping[str, Mapping[str, Value]] = {
    "threew": {"data.protocol": "pooled", "detector.model": "classifier"},
}
STRATEGIES = ("fedavg", "fedprox", "fedadam", "dtml", "fpf", "lpe", "cwa", "dtkd")
LIED_TO = {"plants": ("fedavg", "cwa"), "batadal": ("fedavg", "cwa")}
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
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "bench" / "liars")
    chosen = parser.parse_args()
    parts, rounds = [], chosen.rounds
    for data, sites in SITES.items():
        try:
            open_dataset(RunConfig.from_mapping(settings_of(data, 0))).load_evaluation(sites)
        except DataError as error:
            print(f"{data} is left out: {error}")
            continue
        models = [models_of(honest_run(data, rounds, s, chosen.work)) for s in chosen.seeds]
        judges = [
            evaluator_of(data, seed, next(iter(found.values())))
            for seed, found in zip(chosen.seeds, models, strict=True)
        ]
        honest = [honest_row(name, [m[name] for m in models], judges) for name in STRATEGIES]
        parts.append(f"## {data}: nobody lies\n\n{markdown(HONEST_HEAD, honest)}")
        for name in LIED_TO.get(data, ()):
            rows = list(rows_of(judges[0], chosen.seeds[0], models[0][name]))
            parts.append(f"## {data}, {name}: liars\n\n{markdown(HEAD, rows)}")
    origin = provenance_line("python -m benchmarks.liars", [Provenance.here(ROOT).to_mapping()])
    text = TEXT.format(rounds=rounds, seeds=len(chosen.seeds), seed=chosen.seeds[0])
    write_atomically(OUT, ("\n\n".join([text, *parts, origin]) + "\n").encode())
    print(f"written to {OUT}")


def settings_of(data: str, seed: int) -> dict[str, Value]:
    """What is set for a data set's runs."""
    return {**MORE.get(data, {}), "dataset": data, "sites": SITES[data], "seed": seed}


def models_of(run: Path) -> dict[str, SavedModel]:
    """Last model of each method of a run."""
    return {name: load_model(run / "models" / f"{name}.safetensors") for name in STRATEGIES}


def honest_row(name: str, models: Sequence[SavedModel], judges: Sequence[Evaluator]) -> list[str]:
    """A method's row: figures without the bound and with it, their mean over the seeds."""
    row = [name]
    for trim in TRIMS:
        found = [
            judge(model.params, replace(model.calibration, trim=trim))
            for model, judge in zip(models, judges, strict=True)
        ]
        row += [
            f"{np.mean([m.far_at_05pct for m in found]):.2%}",
            f"{np.mean([m.f1 for m in found]):.3f}",
            f"{np.mean([m.balanced_accuracy for m in found]):.3f}",
        ]
    return row


def honest_run(data: str, rounds: int, seed: int, work: Path) -> Path:
    """Return the folder of a finished honest run, played now if it is not there."""
    path = work / f"{data}-{rounds}-{seed}"
    if (path / "summary.json").exists():
        return path
    settings: dict[str, Value] = {
        **settings_of(data, seed), "strategy": ",".join(STRATEGIES), "rounds": rounds,
        "results-dir": str(work), "run-name": path.name,
    }  # fmt: skip
    with superlink() as link:
        for _ in simulate(link, ROOT, settings, sites=SITES[data], actors=2):
            pass
    return path


def rows_of(evaluator: Evaluator, seed: int, model: SavedModel) -> Iterator[list[str]]:
    """Yield the rows of liars: honest, then each lie by each number of liars."""
    honest = float(replace(model.calibration, trim=0.0).thresholds(model.false_alarm_rate)[0])
    yield ["honest", "0", *figures_of(evaluator, model, model.calibration.sites, honest)]
    names = sorted(model.calibration.sites)
    order = np.random.default_rng([seed, len(names)]).permutation(names)
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
    config, sites = RunConfig.from_mapping(settings_of(data, seed)), SITES[data]
    dataset = open_dataset(config)
    dataset.prepare(sites, lambda done, total: None)
    features, physics = dataset.load_evaluation(sites), open_physics(config, dataset)
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
HONEST_HEAD = (
    "method",
    "false alarms, no bound", "F1", "balanced accuracy",
    "false alarms, trim 0.2", "F1", "balanced accuracy",
)  # fmt: skip

TEXT = (
    "# Sites that lie about their scores\n\n"
    "{rounds} rounds, default settings (3W: classifier, pooled), wanted false-alarm rate 0.5% of "
    "settled normal steps. The last model of each method is judged without a bound and with "
    "`detector.calibration-trim = 0.2`, the default: first where nobody lies, mean of {seeds} "
    "seeds; then with liars, who exchange the sketch of its scores that they send, seed {seed}, "
    "thresholds over that of the honest sites without a bound. A trim of 0.2 stands up to two "
    "liars of ten; four are beyond it."
)


if __name__ == "__main__":
    main()
