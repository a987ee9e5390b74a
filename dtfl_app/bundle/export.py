"""From a finished run's model to the folder that a gateway detects with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.bundle.bundle import Bundle, FeaturePlan
from dtfl_app.bundle.card import model_card
from dtfl_app.bundle.folder import write_folder
from dtfl_app.bundle.laws import Physics
from dtfl_app.core.config import RunConfig
from dtfl_app.core.environment import installed_versions
from dtfl_app.core.evidence import MODEL_KINDS, evidence_kinds
from dtfl_app.detector.metrics import Metrics
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.physics import open_physics
from dtfl_app.inputs.preparation import Prepared, scaling_from_arrays
from dtfl_app.results.promises import Promise, promises
from dtfl_app.results.saved_models import SavedModel
from dtfl_app.sites.federation import FederatedDataset
from twin.ctown.laws import PlantLaws

__all__ = ["Origin", "export_model"]

_PACKAGES = ("dtfl", "numpy", "onnx", "onnxruntime", "torch", "flwr")


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The run that a model comes from.

    Parameters
    ----------
    run : the run's identity.
    config : its settings.
    dataset : its data set.
    sites : names of the sites that took part.
    unread : features that none of them had a reading of.
    evaluator : judges the model; None without an evaluation set.
    twin : the twin's data; None without one.
    """

    run: str
    config: RunConfig
    dataset: FederatedDataset
    sites: tuple[str, ...]
    unread: tuple[str, ...]
    evaluator: Evaluator | None
    twin: Prepared | None


def export_model(
    path: Path, strategy: str, model: SavedModel, weights: Path, origin: Origin
) -> None:
    """Write the bundle of a strategy's last model.

    Parameters
    ----------
    path : its folder.
    strategy : who trained it.
    model : the model, and `weights` the file it is stored in.
    origin : the run.

    Raises ResultsError when it cannot be written.
    """
    own = model.own_layers
    if own is not None:
        # Neither could be judged by a model that lacks layers, nor be usual in its evidence.
        origin = replace(origin, evaluator=None, twin=None)
    bundle, versions = _bundle(model, origin), installed_versions(_PACKAGES)
    card = model_card(
        strategy,
        origin.run,
        origin.config,
        origin.sites,
        bundle,
        versions,
        *_measured(model, origin),
        _promise(strategy, model, origin),
        own.keys if own else (),
    )
    detector = {"model": model.spec.kind, "options": model.spec.options}
    about = {"run": origin.run, "strategy": strategy, "detector": detector, "made_with": versions}
    if own is not None:
        about["own_layers"] = asdict(own)
    write_folder(path, bundle, weights.read_bytes(), card, about)


def _bundle(model: SavedModel, origin: Origin) -> Bundle:
    spec = origin.dataset.feature_spec
    usual, usual_of = _usual(model, origin)
    scaling = scaling_from_arrays(model.scaler)
    return Bundle(
        site_schema=origin.dataset.site_schema,
        features=FeaturePlan(
            spec,
            model.features,
            model.spec.window,
            origin.unread,
            origin.dataset.frozen_as_missing,
        ),
        scaler=scaling.pooled,
        scalers=scaling.own,
        kinds=evidence_kinds(model.evidence),
        rate=model.false_alarm_rate,
        smoothing=model.smoothing,
        calibration=model.calibration,
        usual=usual,
        usual_of=usual_of,
        physics=_physics(model, origin),
        graph=model.detector().to_onnx(),
    )


def _physics(model: SavedModel, origin: Origin) -> Physics | None:
    physics = open_physics(origin.config, origin.dataset)
    if physics is None:
        return None
    laws = {site: PlantLaws.of(physics.plant_of(site)) for site in origin.sites}
    first = next(iter(laws.values()))
    if all(one == first for one in laws.values()):
        laws = {"": first}
    demand = model.physics.get("demand")
    return Physics(laws, None if demand is None else demand.astype(np.float64))


def _usual(model: SavedModel, origin: Origin) -> tuple[dict[str, NDArray[np.float64]], str]:
    """Median share of each feature in the model's evidence, and what rows it is of.

    Sites send no rows, and the evaluation set judges and does nothing else, so it is that of the
    twin's normal operation; all 0 without one.
    """
    if origin.twin is None or not (origin.twin.features.label < 1).any():
        return {kind.name: np.zeros(model.spec.features) for kind in MODEL_KINDS}, ""
    normal, detector = origin.twin.features.label < 1, model.detector()
    shares = {
        kind.name: origin.twin.score(detector, kind.steps(model.smoothing)).per_channel
        for kind in MODEL_KINDS
    }
    return {name: np.median(found[normal], axis=0) for name, found in shares.items()}, "twin"


def _measured(model: SavedModel, origin: Origin) -> tuple[Metrics | None, pd.DataFrame | None]:
    if origin.evaluator is None:
        return None, None
    metrics = origin.evaluator(model.params, model.calibration)
    return metrics, origin.evaluator.alarms(model.params, model.calibration)


def _promise(strategy: str, model: SavedModel, origin: Origin) -> Promise | None:
    """What became of the model's false-alarm rate; None where nothing tells."""
    if origin.evaluator is None:
        return None
    rates = origin.evaluator.observed_rates(model.params, model.calibration)
    entries = [{"strategy": strategy, **rate.to_mapping()} for rate in rates]
    return promises(entries, model.false_alarm_rate).get(strategy)
