"""What the federated methods are compared with: no learning, no federation, or no privacy.

Every row is judged like a federated model: same rows, scaling, calibration and evaluation set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import (
    MODEL_KINDS,
    EvidenceKind,
    LawEvidence,
    evidence_floors,
    evidence_kinds,
    laws_among,
)
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.metrics import Metrics
from dtfl_app.detector.models import build_model
from dtfl_app.detector.training import Rows, TrainingSpec, train
from dtfl_app.evaluation.evaluator import evidence_metrics
from dtfl_app.inputs.physics import open_physics
from dtfl_app.inputs.preparation import (
    Prepared,
    model_spec,
    prepare_by_site,
    prepare_twin,
    sketch_evidence,
)
from dtfl_app.inputs.twin_data import make_twin_data
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset, SiteData
from dtfl_app.sites.scaling import ChannelSums, Scaler, Scaling
from twin.ctown.residuals import DemandSums

__all__ = ["BASELINES", "Material", "gather", "measure"]

FloatArray = NDArray[np.float64]
# Evidence against n prepared rows, shape (n, k), higher = more abnormal.
Evidence = Callable[[Prepared], FloatArray]

BASELINES = (
    "random score",
    "untrained model",
    "physics alone",
    "one-class PCA",
    "twin only",
    "site alone",
    "centralised",
)

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
    scaling, spans = _scaling(config, dataset, data), dataset.feature_spec.spans(dataset.schema)
    evaluation, twin = dataset.load_evaluation(k), make_twin_data(config, dataset)
    if evaluation is None:
        raise ConfigError("baselines need a data set with a labelled evaluation set")
    prepared = _preparer(config, dataset, scaling, [s.features_train for s in data])
    return Material(
        config=config,
        names=[s.name for s in data],
        sites=[
            (prepared(site.features_train, site.name), prepared(site.features_cal, site.name))
            for site in data
        ],
        evaluation=prepared(evaluation),
        twin=prepare_twin(twin.features, scaling, spans, config.detector.window) if twin else None,
        step_s=dataset.feature_spec.step_s,
    )


def _scaling(config: RunConfig, dataset: FederatedDataset, data: list[SiteData]) -> Scaling:
    """The federation's scaling, of all rows as the sites have them."""
    parts = {
        site.name: ChannelSums.of(site.features_train.values[site.features_train.label < 1])
        for site in sorted(data, key=lambda site: site.name)
    }
    spans = dataset.feature_spec.spans(dataset.schema)
    pooled = Scaler.from_sums(ChannelSums.pool(list(parts.values())), spans, config.data.clip)
    return (
        Scaling.by_site(pooled, parts, spans) if config.data.scaling == "site" else Scaling(pooled)
    )


def _preparer(
    config: RunConfig, dataset: FederatedDataset, scaling: Scaling, training: list[Features]
) -> Callable[..., Prepared]:
    """Prepare rows as the federation does, with demands pooled from all sites' training rows.

    Those of a site that is named by its scaler, all others by those of the sites they are of.
    """
    physics, window, demand = open_physics(config, dataset), config.detector.window, None
    if physics is not None and physics.needs_demand:
        demand = sum((physics.demand_sums(f) for f in training), DemandSums.none()).mean()

    def prepared(features: Features, site: str = "") -> Prepared:
        found = physics.evidence(features, demand) if physics else {}
        site_of = (lambda _: site) if site else dataset.site_of
        return prepare_by_site(features, scaling, site_of, window, found)

    return prepared


def measure(material: Material) -> Iterator[tuple[str, list[Metrics]]]:
    """Yield each of `BASELINES` with its figures: one entry, or one per site for "site alone".

    All but the random score and "physics alone" weigh the kinds of evidence that the settings ask
    for. Left out: "physics alone" where none of these is physical, "twin only" without a twin.
    """
    kinds = evidence_kinds(material.config.detector.evidence)
    everyone = range(len(material.sites))

    def pooled(evidence: Evidence, kinds: Sequence[EvidenceKind] = kinds) -> list[Metrics]:
        return [_metrics(material, evidence, kinds, everyone)]

    yield "random score", pooled(_random(material), MODEL_KINDS[:1])
    yield "untrained model", pooled(_evidence(material, _fresh(material)))
    if laws := laws_among(kinds):
        yield "physics alone", pooled(_physical(laws), laws)
    yield "one-class PCA", pooled(_pca(material, kinds))
    if material.twin is not None:
        yield "twin only", pooled(_twin_only(material, material.twin))
    yield "site alone", _alone(material, kinds)
    yield "centralised", pooled(_centralised(material))


def _metrics(
    material: Material, evidence: Evidence, kinds: Sequence[EvidenceKind], sites: Iterable[int]
) -> Metrics:
    """Calibrate on the normal rows of these sites, then judge the evaluation set."""
    sketches = {}
    for index in sites:
        training, calibrating = material.sites[index]
        found = sketch_evidence(kinds, evidence(calibrating), training, calibrating)
        sketches[material.names[index]] = found
    settings, features = material.config.detector, material.evaluation.features
    calibration = Calibration(evidence_floors(kinds), sketches, settings.calibration_trim)
    evaluated = evidence(material.evaluation)
    return evidence_metrics(evaluated, calibration, settings, features, material.step_s)


def _random(material: Material) -> Evidence:
    rng = np.random.default_rng(material.config.run.seed)
    return lambda prepared: rng.random((len(prepared.x), 1))


def _physical(laws: Sequence[LawEvidence]) -> Evidence:
    return lambda prepared: np.stack(
        [law.total(prepared.physics[law.name]) for law in laws], axis=1
    )


def _evidence(material: Material, model: Detector) -> Evidence:
    return lambda prepared: prepared.evidence(model, material.config.detector)


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


def _twin_only(material: Material, rows: Prepared) -> Evidence:
    settings = material.config.twin
    model = _trained(material, [rows], settings.warm_steps, settings.lr)
    return _evidence(material, model)


def _site_steps(material: Material, training: Prepared) -> int:
    """Optimiser steps that this many rows get in a whole federated run."""
    settings = material.config.train
    batches = math.ceil(len(training.x) / settings.batch_size)
    return material.config.run.rounds * settings.epochs * batches


def _alone(material: Material, kinds: Sequence[EvidenceKind]) -> list[Metrics]:
    results = []
    for index, (training, _) in enumerate(material.sites):
        steps = _site_steps(material, training)
        model = _trained(material, [training], steps, material.config.train.lr)
        results.append(_metrics(material, _evidence(material, model), kinds, [index]))
    return results


def _centralised(material: Material) -> Evidence:
    parts = [training for training, _ in material.sites]
    steps = sum(_site_steps(material, training) for training in parts)
    return _evidence(material, _trained(material, parts, steps, material.config.train.lr))


def _pca(material: Material, kinds: Sequence[EvidenceKind]) -> Evidence:
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

    def evidence(prepared: Prepared) -> FloatArray:
        outside = (((prepared.x - mean) @ residual) ** 2).sum(axis=1)
        return prepared.weigh(outside, kinds, smoothing)

    return evidence
