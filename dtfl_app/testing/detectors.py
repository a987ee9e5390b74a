"""Does a detector keep what the app relies on?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from dtfl_app.core.settings import Value
from dtfl_app.detector.detector import Detector, ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import Params, get_params, set_params
from dtfl_app.detector.probe import probe
from dtfl_app.detector.training import Rows, TrainingSpec, train
from dtfl_app.testing.findings import Findings
from dtfl_app.testing.plant import SITES, SmallPlant
from dtfl_app.testing.runs import PlayedRun, play, require_same

__all__ = ["check_detector"]

_FEATURES = 3


def check_detector(
    name: str,
    folder: Path,
    options: str = "",
    window: int = 8,
    settings: Mapping[str, Value] | None = None,
) -> list[str]:
    """Build a detector, and hold it against all that the app promises of one.

    Losses and scores are finite numbers of the right shapes, row by row; a seed gives its weights;
    its parameters go out and in without a change of scores; every one is of one layer; training
    lowers its loss; its ONNX model scores as torch does; a small federated run with it ends,
    repeats byte for byte, and is written for gateways.

    Parameters
    ----------
    name : as the setting `detector.model` takes it, e.g. "mine:Mine".
    folder : new or empty; holds the runs.
    options : the setting `detector.options`.
    window : time steps that it is built for.
    settings : further run config.

    Returns the promises that were tried. Raises AssertionError with those that are broken.
    """
    spec, found = ModelSpec(name, _FEATURES, window, options=options), Findings(f"detector {name}")
    with found.trying("it can be built of features, window and options"):
        model = build_model(spec, seed=1)
        with found.trying("losses and scores are finite and of the right shapes, row by row"):
            probe(model)
        with found.trying("a seed gives its weights, another seed others"):
            _require_seeded(spec)
        with found.trying("parameters go out and in without a change of scores"):
            _require_same_scores(model, spec)
        with found.trying("every parameter is of one layer"):
            keys = list(get_params(model))
            layers = type(model).layer_keys(keys)
            assert list(chain.from_iterable(layers)) == keys, f"layers are {layers}, keys {keys}"
        with found.trying("training lowers its loss"):
            _require_learning(model)
        with found.trying("its ONNX model scores as torch does"):
            model.to_onnx()
        with found.trying("a federated run ends, repeats byte for byte, and is exported"):
            _require_run(folder, spec, settings or {})
    return found.conclude()


def _rows(model: Detector, count: int = 64) -> Rows:
    """Waves and, if it needs labels, rows that lie far off."""
    rng = np.random.default_rng(3)
    steps = np.arange(count)[:, None] + np.arange(model.spec.window)[None, :]
    waves = np.sin(steps[:, :, None] / 3 + np.arange(model.spec.features))
    x = (waves + 0.05 * rng.normal(size=waves.shape)).astype(np.float32)
    label = np.zeros(count, np.int8)
    if model.needs_labels:
        label[::4], x[::4] = 1, x[::4] + 3.0
    return Rows.from_numpy(x.reshape(count, -1), label)


def _require_seeded(spec: ModelSpec) -> None:
    first, again, other = (get_params(build_model(spec, seed)) for seed in (1, 1, 2))
    assert _equal(first, again), "one seed gives two models"
    assert not _equal(first, other), "two seeds give one model"


def _equal(first: Params, second: Params) -> bool:
    return all(np.array_equal(first[key], second[key]) for key in first)


@torch.no_grad()
def _require_same_scores(model: Detector, spec: ModelSpec) -> None:
    copy, x = build_model(spec, seed=2), _rows(model).x
    set_params(copy, get_params(model))
    for one in (model, copy):
        one.eval()
    assert torch.equal(model.shares(x), copy.shares(x)), "a copy of its parameters scores otherwise"


def _require_learning(model: Detector) -> None:
    rows, rng = _rows(model), np.random.default_rng(0)
    spec = TrainingSpec(lr=0.01, batch_size=len(rows))
    first, *_, last = (train(model, rows, 1, spec, rng) for _ in range(30))
    assert last < first, f"its loss is {first:.4g} before 30 steps and {last:.4g} after them"


def _require_run(folder: Path, spec: ModelSpec, more: Mapping[str, Value]) -> None:
    plant = SmallPlant.write(folder / "plant")
    runs: list[PlayedRun] = []
    for number in range(2):
        config = {
            **plant.settings(),
            "strategy": "fedavg",
            "rounds": 2,
            "results-dir": str(folder),
            "run-name": f"run-{number}",
            "detector.model": spec.kind,
            "detector.options": spec.options,
            "detector.window": spec.window,
            **more,
        }
        runs.append(play(config, len(SITES), ids_seed=number))
    require_same(*runs)
    for run in runs:
        assert (run.path / "deploy" / "fedavg" / "model.onnx").exists(), "no model.onnx was written"
