"""What a run works with beside its sites: model, twin data and what judges it, as they agreed."""

from __future__ import annotations

from dtfl_app.core.config import RunConfig
from dtfl_app.core.logs import log
from dtfl_app.detector.detector import Detector, ModelSpec
from dtfl_app.detector.models import build_model, resolve_device
from dtfl_app.detector.probe import probe
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.physics import SitePhysics
from dtfl_app.inputs.preparation import Prepared, model_spec, prepare, prepare_by_site, prepare_twin
from dtfl_app.inputs.twin_data import make_twin_data
from dtfl_app.rounds.signals import FAR, mean_shift
from dtfl_app.server.enrolment import Enrolment
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset

__all__ = ["evaluator_of", "model_of", "spec_of", "twin_rows"]


def twin_rows(
    config: RunConfig, dataset: FederatedDataset, enrolment: Enrolment
) -> Prepared | None:
    """Make the twin's data, scaled as the sites agreed or by its own moments; None without one."""
    twin = make_twin_data(config, dataset)
    log.info("twin: %s", twin.source if twin else "none")
    if twin is None:
        return None
    window, spans = config.detector.window, dataset.feature_spec.spans(dataset.schema)
    # By its own moments no twin would be far from the plant.
    _compare(prepare(twin.features, enrolment.scaler, window), enrolment)
    return prepare_twin(twin.features, enrolment.scaling, spans, window)


def evaluator_of(
    config: RunConfig,
    dataset: FederatedDataset,
    enrolment: Enrolment,
    evaluation: Features | None,
    physics: SitePhysics | None,
) -> Evaluator | None:
    """Return what evaluates models; None without an evaluation set."""
    if evaluation is None:
        return None
    found = physics.evidence(evaluation, enrolment.demand) if physics else {}
    rows = prepare_by_site(
        evaluation, enrolment.scaling, dataset.site_of, config.detector.window, found
    )
    step_s, model = dataset.feature_spec.step_s, model_of(config, dataset)
    return Evaluator(model, rows, config.detector, step_s, dataset.site_of)


def _compare(twin: Prepared, enrolment: Enrolment) -> None:
    """Say how far the twin's normal operation lies from the sites', and warn where it is far."""
    normal = twin.x[twin.features.label < 1]
    if not len(normal):
        return
    shift, usual = mean_shift(normal), enrolment.shift
    found = (
        f"its channel means lie {shift:.2f} standard deviations from the sites', "
        f"a typical site's {usual:.2f}"
    )
    if shift - usual > FAR:
        log.warning("twin: %s; it is far from the plant, check its calibration", found)
    else:
        log.info("twin: %s", found)


def spec_of(config: RunConfig, dataset: FederatedDataset) -> ModelSpec:
    """Return the architecture of the run's detector."""
    return model_spec(config.detector, len(dataset.feature_spec.names(dataset.schema)))


def model_of(config: RunConfig, dataset: FederatedDataset) -> Detector:
    """Build the run's detector, as random as its seed makes it, and try it (`probe`)."""
    device = resolve_device(config.run.device)
    return probe(build_model(spec_of(config, dataset), config.run.seed).to(device))
