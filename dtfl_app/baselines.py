"""What the federated methods are compared with: no learning, no federation, or no privacy.

Every row is judged like a federated model: same rows, scaling, calibration and evaluation set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dtfl_app.config import RunConfig
from dtfl_app.detector.calibration import conformal_threshold
from dtfl_app.detector.metrics import Metrics, evaluate_scores
from dtfl_app.detector.models import Detector, build_model
from dtfl_app.detector.scoring import smooth
from dtfl_app.detector.training import Rows, TrainingSpec, train
from dtfl_app.errors import ConfigError
from dtfl_app.preparation import Prepared, model_spec, prepare
from dtfl_app.sites.features import feature_spans
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.scaling import ChannelSums, Scaler
from dtfl_app.twin_data import make_twin_data

__all__ = ["Material", "gather", "measure"]

FloatArray = NDArray[np.float64]
# What a score function returns for n prepared rows: shape (n,), higher = more abnormal.
Score = Callable[[Prepared], FloatArray]

# Share of the variance that one-class PCA keeps; the rest is its residual.
_PCA_VARIANCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All data of a run in one place, as no federation has it: for comparison only.

    Parameters
    ----------
    config : the run's settings.
    names : site names.
    sites : per site, training and calibration rows.
    evaluation : the labelled evaluation set.
    twin : the twin's rows; None without a twin.
    step_s : seconds between rows.
    """

    config: RunConfig
    names: list[str]
    sites: list[tuple[Prepared, Prepared]]
    evaluation: Prepared
    twin: Prepared | None
    step_s: float


def gather(config: RunConfig, dataset: FederatedDataset, k: int) -> Material:
    """Load all `k` sites, the evaluation set and the twin's data in the federation's scaling."""
    dataset.prepare(k, lambda done, total: None)
    data = [dataset.load_site(index, k) for index in range(k)]
    parts = [
        ChannelSums.of(s.features_train.values[s.features_train.label < 1])
        for s in sorted(data, key=lambda site: site.name)
    ]
    spans = feature_spans(dataset.feature_spec.names(dataset.schema), dataset.schema)
    scaler = Scaler.from_sums(ChannelSums.pool(parts), spans, config.data.clip)
    evaluation, twin = dataset.load_evaluation(k), make_twin_data(config, dataset)
    if evaluation is None:
        raise ConfigError("baselines need a data set with a labelled evaluation set")
    window = config.detector.window
    return Material(
        config=config,
        names=[s.name for s in data],
        sites=[
            (prepare(s.features_train, scaler, window), prepare(s.features_cal, scaler, window))
            for s in data
        ],
        evaluation=prepare(evaluation, scaler, window),
        twin=prepare(twin.features, scaler, window) if twin else None,
        step_s=dataset.feature_spec.step_s,
    )


def measure(material: Material) -> dict[str, list[Metrics]]:
    """Return the baselines' figures: one entry each, or one per site for "alone"."""
    everyone = [calibration for _, calibration in material.sites]
    rows: dict[str, list[Metrics]] = {
        "random score": [_judge(material, _random(material), everyone)],
        "untrained model": [_judge(material, _scorer(material, _fresh(material)), everyone)],
        "one-class PCA": [_judge(material, _pca(material), everyone)],
        "site alone": _alone(material),
        "centralised": [_judge(material, _centralised(material), everyone)],
    }
    if material.twin is not None:
        steps = material.config.twin.twin_warm_steps
        model = _trained(material, [material.twin], steps, material.config.twin.twin_lr)
        rows["twin only"] = [_judge(material, _scorer(material, model), everyone)]
    return rows


def _judge(material: Material, score: Score, calibration: list[Prepared]) -> Metrics:
    """Threshold from the calibration rows' normal scores, figures from the evaluation set."""
    normal = [score(part)[part.features.label < 1] for part in calibration if len(part.x)]
    scores = np.concatenate(normal) if normal else np.zeros(0)
    threshold = conformal_threshold(scores, material.config.detector.false_alarm_rate)
    features = material.evaluation.features
    judged = score(material.evaluation)
    return evaluate_scores(judged, threshold, features.label, features.event, material.step_s)


def _random(material: Material) -> Score:
    rng = np.random.default_rng(material.config.run.seed)
    return lambda prepared: rng.random(len(prepared.x))


def _scorer(material: Material, model: Detector) -> Score:
    smoothing = material.config.detector.smoothing
    return lambda prepared: prepared.score(model, smoothing).total


def _fresh(material: Material) -> Detector:
    features = len(material.evaluation.features.names)
    return build_model(model_spec(material.config.detector, features), material.config.run.seed)


def _trained(material: Material, parts: list[Prepared], steps: int, lr: float) -> Detector:
    model = _fresh(material)
    cpu = torch.device("cpu")
    each = [part.rows(cpu).for_model(model) for part in parts]
    rows = Rows(torch.cat([r.x for r in each]), torch.cat([r.y for r in each]))
    rng = np.random.default_rng([material.config.run.seed, 0])
    train(model, rows, steps, TrainingSpec(lr, material.config.train.batch_size), rng)
    return model


def _site_steps(material: Material, training: Prepared) -> int:
    """Optimiser steps that this many rows get in a whole federated run."""
    settings = material.config.train
    batches = math.ceil(len(training.x) / settings.batch_size)
    return material.config.run.rounds * settings.local_epochs * batches


def _alone(material: Material) -> list[Metrics]:
    results = []
    for training, calibration in material.sites:
        steps = _site_steps(material, training)
        model = _trained(material, [training], steps, material.config.train.lr)
        results.append(_judge(material, _scorer(material, model), [calibration]))
    return results


def _centralised(material: Material) -> Score:
    parts = [training for training, _ in material.sites]
    steps = sum(_site_steps(material, training) for training in parts)
    return _scorer(material, _trained(material, parts, steps, material.config.train.lr))


def _pca(material: Material) -> Score:
    """Residual outside the principal subspace of the pooled covariance, one round of sums."""
    normal = [
        training.x[training.features.label < 1].astype(float) for training, _ in material.sites
    ]
    count = sum(len(x) for x in normal)
    mean = np.add.reduce([x.sum(axis=0) for x in normal]) / count
    scatter = np.add.reduce([x.T @ x for x in normal]) / count - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(scatter)
    kept = np.searchsorted(np.cumsum(values[::-1]) / values.sum(), _PCA_VARIANCE) + 1
    residual = vectors[:, : len(values) - kept]  # shape: (d, d - kept)
    smoothing = material.config.detector.smoothing

    def score(prepared: Prepared) -> FloatArray:
        outside = (((prepared.x - mean) @ residual) ** 2).sum(axis=1, keepdims=True)
        return smooth(outside, prepared.features.instance, smoothing)[:, 0]

    return score
