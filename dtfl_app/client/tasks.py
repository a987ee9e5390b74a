"""What a site does when the server asks: say what it has, train, calibrate.

Rows never leave; what leaves is in the replies filled here, each checked against the declaration
of its class in `dtfl_app.messages`: moments per channel, layers, counts, the loss and a sketch of
calibration scores.
"""

from __future__ import annotations

import math
import zlib
from contextlib import suppress
from functools import lru_cache

import numpy as np
import torch
from flwr.app import Context, Message
from numpy.typing import NDArray

from dtfl_app.client.enrolled import as_told
from dtfl_app.client.policy import SitePolicy
from dtfl_app.client.state import SiteState, keep_calibration, site_state, state_home
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DTFLError, SiteError
from dtfl_app.core.evidence import evidence_kinds
from dtfl_app.core.logs import log
from dtfl_app.core.node_config import NodeConfig, Part
from dtfl_app.core.settings import Value, read_settings
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.models import (
    Detector,
    as_params,
    build_model,
    get_params,
    resolve_device,
    set_params,
)
from dtfl_app.detector.training import Distillation, TrainingSpec, train
from dtfl_app.inputs.physics import SitePhysics, open_physics
from dtfl_app.inputs.preparation import (
    Prepared,
    model_spec,
    prepare,
    scaler_from_arrays,
    sketch_evidence,
)
from dtfl_app.messages.calibration import CalibrationReply, CalibrationTask
from dtfl_app.messages.declaration import Declaration
from dtfl_app.messages.egress import discreet_errors, require_declared
from dtfl_app.messages.privacy import privatise
from dtfl_app.messages.profile import Profile, shares_of
from dtfl_app.messages.quantise import Quantised, dequantise
from dtfl_app.messages.training import ProximalTerm, TeacherTerm, TrainingReply, TrainingTask
from dtfl_app.messages.wire import (
    MODEL,
    PHYSICS,
    SCALER,
    TEACHER,
    Arrays,
    compress,
    receive,
    with_prefix,
)
from dtfl_app.sites.catalogue import find_dataset
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import LEAST_WINDOWS, FederatedDataset, SiteData, least_windows
from dtfl_app.sites.scaling import ChannelSums, Scaler

__all__ = ["Site", "calibrate", "open_site", "profile", "train_round"]

# The models are small: a second thread costs more than it brings, and sites share the host.
torch.set_num_threads(1)


_NO_POLICY = SitePolicy()


class Site:
    """One site's data in this process, prepared once for the scaling in force.

    Parameters
    ----------
    config : the run's settings.
    data : the site's features.
    physics : gives physical evidence; None where none is wanted.
    least : windows, of normal operation or with a reading of a channel, whose moments may leave.
    """

    def __init__(
        self,
        config: RunConfig,
        data: SiteData,
        physics: SitePhysics | None,
        least: int = LEAST_WINDOWS,
    ) -> None:
        self.config = config
        self.data = data
        self.physics = physics
        self.least = least
        self._key: dict[str, object] = {}
        self._prepared: tuple[Prepared, Prepared] | None = None
        # Drawing initial weights costs more than a pass over a site's rows.
        self._models: dict[str, Detector] = {}

    @property
    def name(self) -> str:
        """Stable name; the server knows the site by it."""
        return self.data.name

    def prepared(self, arrays: Arrays) -> tuple[Prepared, Prepared]:
        """Training and calibration rows, with the scaling and demands the federation agreed on."""
        scaler = scaler_from_arrays(with_prefix(SCALER, arrays))
        if self._prepared is None or self._key != scaler.to_dict():
            expected = with_prefix(PHYSICS, arrays).get("demand")
            self._prepared = (
                self._prepare(self.data.features_train, scaler, expected),
                self._prepare(self.data.features_cal, scaler, expected),
            )
            self._key = scaler.to_dict()
        return self._prepared

    def _prepare(
        self, features: Features, scaler: Scaler, expected: NDArray[np.generic] | None
    ) -> Prepared:
        demand = None if expected is None else expected.astype(np.float64)
        physics = self.physics.evidence(features, demand) if self.physics else {}
        return prepare(features, scaler, self.config.detector.window, physics)

    def model(self, arrays: Arrays, prefix: str = MODEL) -> Detector:
        """Return the site's detector called `prefix`, with the received parameters."""
        if prefix not in self._models:
            spec = model_spec(self.config.detector, len(self.data.features_train.names))
            device = resolve_device(self.config.run.device)
            self._models[prefix] = build_model(spec, seed=0).to(device)
        model = self._models[prefix]
        set_params(model, dequantise(with_prefix(prefix, arrays)))
        return model

    def rng(self, server_round: int) -> np.random.Generator:
        """Randomness of this site in this round, whatever its node id."""
        return np.random.default_rng(
            [self.config.run.seed, zlib.crc32(self.name.encode()), server_round]
        )


def open_site(context: Context) -> Site:
    """Return the site that this node stands for: its own file, or a part of the run's data set.

    Raises ConfigError where the node config does not say which.
    """
    node = NodeConfig.from_mapping(context.node_config)
    return _open_site(tuple(sorted(context.run_config.items())), node)


# One simulation worker serves many sites in turn; reading a site's files each round would cost
# more than training on them.
@lru_cache(maxsize=64)
def _open_site(run_config: tuple[tuple[str, Value], ...], node: NodeConfig) -> Site:
    config = node.applied_to(RunConfig.from_mapping(dict(run_config)))
    policy = SitePolicy.read(node.policy) if node.policy else _NO_POLICY
    policy.require(config)
    kind = find_dataset(config.run.dataset)
    if isinstance(node.data, Part):
        dataset, part = kind.from_config(config), node.data
        with discreet_errors(lambda: _who(dataset, part)):
            data = dataset.load_site(part.index, part.total)
    else:
        own = node.data
        with discreet_errors(lambda: f"site {own.site}: "):
            dataset, data = kind.from_own_file(config, own)
    _say_found(data)
    least = least_windows(dataset.schema, dataset.feature_spec, policy.least_readings)
    _require_enough(data, config, least)
    return Site(config, data, open_physics(config, dataset), least)


def _who(dataset: FederatedDataset, part: Part) -> str:
    """Name the site that could not be loaded, where that much is known."""
    with suppress(DTFLError):
        return f"site {dataset.sites(part.total)[part.index]}: "
    return ""


def _say_found(data: SiteData) -> None:
    if data.quality.repeated:
        log.info("site %s: %d repeated rows left out", data.name, data.quality.repeated)
    if data.quality.filled:
        log.info("site %s: gaps filled with %d rows", data.name, data.quality.filled)
    if not data.normal[1]:
        log.warning(
            "site %s: no window of normal operation is left to calibrate on, so it has no part in "
            "the thresholds; give it a longer recording, or use shorter windows "
            "(features.window-s)",
            data.name,
        )


def _require_enough(data: SiteData, config: RunConfig, least: int) -> None:
    """Refuse a site of so few windows that what it sends would come close to its readings."""
    counted = {"windows of normal operation": data.normal[0]}
    if config.detector.model == "classifier":
        counted["labelled windows"] = int(np.count_nonzero(data.features_train.label >= 0))
    for what, count in counted.items():
        if count < least:
            raise SiteError(
                f"site {data.name}: it has fewer than {least} {what} to train on, too few "
                "to keep its readings to itself; give it a longer recording, or use shorter "
                "windows (features.window-s)"
            )


def profile(message: Message, context: Context) -> Message:
    """Answer who this site is, the moments of its normal rows, and how sound its readings are.

    Where the balance of districts counts as evidence, also the sums of its demands by hour of the
    week.
    """
    with discreet_errors():
        site = open_site(context)
        told, schema = _profile(site), site.data.schema
        if (home := state_home(site.name, context, site.config.state)) is not None:
            told = as_told(told, _normal(site), home, site.least)
        declared = told.declaration(
            len(told.moments.n), len(schema.names), with_demand=told.demand is not None
        )
        return require_declared(told.pack(message), declared)


def train_round(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model, train it, reply with both."""
    with discreet_errors():
        site, task = open_site(context), TrainingTask.unpack(message)
        state = _restored(site, task, context)
        arrays = receive(message.content, context)
        model = site.model(arrays)
        training, calibration = site.prepared(arrays)
        sketches = _sketches(site, model, training, calibration)
        examples, loss, steps = _learn(site, model, training, task, arrays)
        told = TrainingReply(
            site=site.name,
            server_round=task.server_round,
            layers=_uploaded(site, model, task, arrays, message, context),
            examples=examples,
            loss=loss,
            steps=steps,
            sketches=tuple(sketches),
        )
        reply = require_declared(told.pack(message), _declared(site, model, task))
        _keep(state, sketches, task, context)
        return reply


def calibrate(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model."""
    with discreet_errors():
        site, task = open_site(context), CalibrationTask.unpack(message)
        state = _restored(site, task, context)
        arrays = receive(message.content, context)
        sketches = _sketches(site, site.model(arrays), *site.prepared(arrays))
        told = CalibrationReply(tuple(sketches))
        reply = require_declared(told.pack(message), told.declaration(_kinds(site)))
        _keep(state, sketches, task, context)
        return reply


def _profile(site: Site) -> Profile:
    """What the site's data says of it."""
    features, physics = site.data.features_train, site.physics
    with_demand = physics is not None and physics.needs_demand
    return Profile(
        site=site.name,
        schema=site.data.schema.digest(),
        moments=ChannelSums.of(_normal(site)).without_few(site.least),
        quality=shares_of(site.data.quality),
        demand=physics.demand_sums(features) if physics is not None and with_demand else None,
    )


def _normal(site: Site) -> NDArray[np.float32]:
    """The rows that a site's moments are of, shape (n, d)."""
    features = site.data.features_train
    return features.values[features.label < 1]


def _declared(site: Site, model: Detector, task: TrainingTask) -> Declaration:
    shapes = {key: value.shape for key, value in get_params(model).items() if key in task.upload}
    return TrainingReply.declaration(shapes, bool(task.tag), _kinds(site))


def _restored(site: Site, task: CalibrationTask, context: Context) -> SiteState | None:
    """Fill the context with what this site holds on disk; None where nothing is kept there."""
    state = site_state(site.name, task.run, context, site.config.state)
    if state is not None:
        state.load(context)
    return state


def _keep(
    state: SiteState | None, sketches: list[Sketch], task: CalibrationTask, context: Context
) -> None:
    """Keep the site's latest calibration, and all else that it holds, for its next process."""
    keep_calibration(context, sketches, task.server_round)
    if state is not None:
        state.save(context)


def _learn(
    site: Site, model: Detector, training: Prepared, task: TrainingTask, arrays: Arrays
) -> tuple[int, float, int]:
    """Train `model` in place; return number of rows, mean loss and number of steps."""
    device, settings = next(model.parameters()).device, site.config.train
    rows = training.rows(device).for_model(model)
    steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
    pull = read_settings(ProximalTerm, task.settings)
    spec = TrainingSpec(settings.lr, settings.batch_size, pull.mu)
    lesson = _distillation(site, task, arrays)
    loss = train(model, rows, steps, spec, site.rng(task.server_round), lesson)
    return len(rows), loss, steps


def _uploaded(
    site: Site,
    model: Detector,
    task: TrainingTask,
    received: Arrays,
    message: Message,
    context: Context,
) -> Quantised:
    """Return the layers that the task wants; noise comes before rounding, which then adds none."""
    base = as_params(with_prefix(MODEL, received))
    trained = {key: value for key, value in get_params(model).items() if key in task.upload}
    if site.config.privacy.dp:
        trained = privatise(trained, base, site.config.privacy, message, context)
    if not task.tag:
        return {**trained}
    return compress(trained, base, task.tag, task.follows, context)


def _distillation(site: Site, task: TrainingTask, arrays: Arrays) -> Distillation | None:
    term = read_settings(TeacherTerm, task.settings)
    if term.weight == 0.0:
        return None
    return Distillation(site.model(arrays, TEACHER), term.weight, term.temperature)


def _kinds(site: Site) -> int:
    return len(evidence_kinds(site.config.detector.evidence))


def _sketches(
    site: Site, model: Detector, training: Prepared, calibration: Prepared
) -> list[Sketch]:
    settings = site.config.detector
    kinds = evidence_kinds(settings.evidence)
    return sketch_evidence(kinds, calibration.evidence(model, settings), training, calibration)
