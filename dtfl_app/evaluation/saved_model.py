"""A saved model on a file it has never seen: scores, alarms and, with labels, figures."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.core.naming import file_name
from dtfl_app.core.renamed import modern
from dtfl_app.detector.metrics import Metrics
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.physics import open_physics
from dtfl_app.inputs.preparation import prepare_by_site, scaling_from_arrays
from dtfl_app.results.measures import Measures, measures_of
from dtfl_app.results.saved_models import SavedModel, load_model
from dtfl_app.sites.catalogue import dataset_class
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset, evaluation_features

__all__ = ["FileEvaluation", "evaluate_file", "file_evidence", "find_model"]


@dataclass(frozen=True, slots=True, eq=False)
class FileEvaluation:
    """What a model says of a file.

    Parameters
    ----------
    alarms : a row per time step, as in a run's ``alarms/``.
    metrics : figures over the labelled steps; None where the file has none.
    measures : how the figures of the model's data set are told.
    """

    alarms: pd.DataFrame
    metrics: Metrics | None
    measures: Measures


def find_model(model: Path, strategy: str = "") -> tuple[Path, Path]:
    """Return the folder of the run and the model file in it.

    Parameters
    ----------
    model : a run's folder, or a file in its ``models/``.
    strategy : which of the run's models, where it has several.

    Raises ConfigError when that names no one model.
    """
    if model.is_file():
        return model.parent.parent, model
    found = {path.stem: path for path in sorted((model / "models").glob("*.safetensors"))}
    named = file_name(strategy)
    if named in found:
        return model, found[named]
    if len(found) == 1 and not strategy:
        return model, next(iter(found.values()))
    raise ConfigError(
        f"{model} holds models {sorted(found) or 'none'}"
        + (f", none called {strategy!r}" if strategy else "")
        + "; expected the folder of a run, and --strategy with one of its models"
    )


def evaluate_file(run: Path, model: Path, data: Path, data_dir: str = "") -> FileEvaluation:
    """Score a file with a saved model, its scaling and its calibration; nothing is fitted to it.

    Parameters
    ----------
    run : folder of the run, for its settings.
    model : the model file.
    data : a file as the run's data set reads it (`FederatedDataset.read_file`): a plant's in the
        layout of BATADAL, a run's on files in that of the schema in the run's folder.
    data_dir : folder of the public data sets, if it is not where the run had it.

    Raises DataError when the file does not fit the model.
    """
    saved, features, evaluator, measures = _open(run, model, data, data_dir)
    labelled = bool((features.label >= 0).any())
    metrics = evaluator(saved.params, saved.calibration) if labelled else None
    alarms = evaluator.alarms(saved.params, saved.calibration)
    return FileEvaluation(alarms, metrics, measures)


def file_evidence(
    run: Path, model: Path, data: Path, data_dir: str = ""
) -> tuple[Features, NDArray[np.float64]]:
    """Return a file's features and the model's evidence on them, shape (n, k).

    Parameters and errors as of `evaluate_file`.
    """
    saved, features, evaluator, _ = _open(run, model, data, data_dir)
    return features, evaluator.evidence(saved.params)


def _open(
    run: Path, model: Path, data: Path, data_dir: str
) -> tuple[SavedModel, Features, Evaluator, Measures]:
    config = _settings(run, data_dir)
    saved = load_model(model)
    if saved.own_layers is not None:
        raise DataError(
            f"{model}: the model is not whole, each site has {', '.join(saved.own_layers.keys)} of "
            "its own; at the site, dtfl personalise makes a whole model, for dtfl detect"
        )
    dataset = dataset_class(config).from_run(config, run)
    features = _read(dataset, data)
    if features.names != saved.features or dataset.schema.digest() != saved.schema:
        raise DataError(
            f"{data}: its features {features.names[:3]}... are not those of {model}, "
            f"{saved.features[:3]}...; use a model of the same data set"
        )
    measures = measures_of(dataset.scored, dataset.feature_spec.step_s)
    return saved, features, _evaluator(config, dataset, saved, features), measures


def _settings(run: Path, data_dir: str) -> RunConfig:
    path = run / "config.json"
    try:
        settings = json.loads(path.read_text())["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{path} holds no settings of a run ({error}); give the folder of a run"
        ) from error
    config = RunConfig.from_mapping(modern(settings))
    return replace(config, data=replace(config.data, dir=data_dir)) if data_dir else config


def _read(dataset: FederatedDataset, path: Path) -> Features:
    series = dataset.read_file(path)
    return evaluation_features(str(path), series, dataset.schema, dataset.feature_spec)


def _evaluator(
    config: RunConfig, dataset: FederatedDataset, saved: SavedModel, features: Features
) -> Evaluator:
    detector = replace(
        config.detector,
        evidence=saved.evidence,
        smoothing=saved.smoothing,
        false_alarm_rate=saved.false_alarm_rate,
    )
    physics, demand = open_physics(config, dataset), saved.physics.get("demand")
    expected = None if demand is None else demand.astype("float64")
    found = physics.evidence(features, expected) if physics else {}
    scaling = scaling_from_arrays(saved.scaler)
    prepared = prepare_by_site(features, scaling, dataset.site_of, saved.spec.window, found)
    step_s = dataset.feature_spec.step_s
    return Evaluator(saved.detector(), prepared, detector, step_s, dataset.site_of)
