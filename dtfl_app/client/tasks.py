"""What a site does when the server asks: say what it has, train, calibrate.

Rows never leave; what leaves is in the replies built here, each checked against its declaration in
`dtfl_app.messages.egress`: moments per channel, layers, counts, the loss and a sketch of
calibration scores.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from dtfl_app.client.state import SiteState, site_state
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import SiteError
from dtfl_app.core.evidence import evidence_kinds
from dtfl_app.core.logs import log
from dtfl_app.core.node_config import NodeConfig, Part
from dtfl_app.core.settings import Value
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.models import (
    Detector,
    as_params,
    build_model,
    get_params,
    resolve_device,
    set_params,
)
from dtfl_app.detector.training import Distillation, Rows, TrainingSpec, train
from dtfl_app.inputs.physics import SitePhysics, open_physics
from dtfl_app.inputs.preparation import (
    Prepared,
    model_spec,
    prepare,
    scaler_from_arrays,
    sketch_evidence,
)
from dtfl_app.messages.egress import (
    Declaration,
    calibration_reply,
    discreet_errors,
    profile_reply,
    require_declared,
    training_reply,
)
from dtfl_app.messages.privacy import privatise
from dtfl_app.messages.quantise import dequantise
from dtfl_app.messages.wire import Arrays, compress, prefixed, receive, to_record, with_prefix
from dtfl_app.sites.catalogue import find_dataset
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import SiteData
from dtfl_app.sites.quality import QualityReport
from dtfl_app.sites.scaling import ChannelSums, Scaler

__all__ = ["Site", "calibrate", "open_site", "profile", "train_round"]

# What a MetricRecord holds.
Metrics = dict[str, int | float | list[int] | list[float]]

# The models are small: a second thread costs more than it brings, and sites share the host.
torch.set_num_threads(1)


class Site:
    """One site's data in this process, prepared once for the scaling in force.

    Parameters
    ----------
    config : the run's settings.
    data : the site's features.
    physics : gives physical evidence; None where none is wanted.
    """

    def __init__(self, config: RunConfig, data: SiteData, physics: SitePhysics | None) -> None:
        self.config = config
        self.data = data
        self.physics = physics
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
        scaler = scaler_from_arrays(with_prefix("scaler", arrays))
        if self._prepared is None or self._key != scaler.to_dict():
            expected = with_prefix("physics", arrays).get("demand")
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

    def model(self, arrays: Arrays, prefix: str = "model") -> Detector:
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
    kind = find_dataset(config.run.dataset)
    if isinstance(node.data, Part):
        dataset = kind.from_config(config)
        data = dataset.load_site(node.data.index, node.data.total)
    else:
        dataset, data = kind.from_own_file(config, node.data)
    if data.quality.repeated:
        log.info("site %s: %d repeated rows left out", data.name, data.quality.repeated)
    return Site(config, data, open_physics(config, dataset))


def profile(message: Message, context: Context) -> Message:
    """Answer who this site is, the moments of its normal rows, and how sound its readings are.

    Where the balance of districts counts as evidence, also the sums of its demands by hour of the
    week.
    """
    with discreet_errors():
        site = open_site(context)
        features, schema = site.data.features_train, site.data.schema
        moments = ChannelSums.of(features.values[features.label < 1])
        arrays: Arrays = {"n": moments.n, "mean": moments.mean, "m2": moments.m2}
        with_demand = site.physics is not None and site.physics.needs_demand
        if site.physics is not None and with_demand:
            sums = site.physics.demand_sums(features)
            arrays |= {"demand-count": sums.count, "demand-total": sums.total}
        identity = ConfigRecord({"site": site.name, "schema": schema.digest()})
        declared = profile_reply(len(features.names), len(schema.names), with_demand)
        metrics = _quality_metrics(site.data.quality)
        return _reply(message, declared, metrics, arrays, identity)


def train_round(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model, train it, reply with both."""
    with discreet_errors():
        site, task = open_site(context), message.content.config_records["task"]
        memory = _recalled(site, message, context)
        arrays = _receive(message, context)
        model = site.model(arrays)
        training, calibration = site.prepared(arrays)
        sketches = _sketches(site, model, training, calibration)
        examples, loss, steps = _learn(site, model, training, task, arrays)
        upload = prefixed("model", _uploaded(site, model, arrays, message, context))
        scores = _sketch_metrics(sketches)
        metrics = {"num-examples": examples, "loss": loss, "steps": steps} | scores
        identity = ConfigRecord({"site": site.name, "server-round": _server_round(task)})
        reply = _reply(message, _declared(site, model, task), metrics, upload, identity)
        _remember(memory, scores, task, context)
        return reply


def calibrate(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model."""
    with discreet_errors():
        site, task = open_site(context), message.content.config_records["task"]
        memory = _recalled(site, message, context)
        arrays = _receive(message, context)
        scores = _sketch_metrics(_sketches(site, site.model(arrays), *site.prepared(arrays)))
        reply = _reply(message, calibration_reply(_kinds(site)), scores)
        _remember(memory, scores, task, context)
        return reply


def _reply(
    message: Message,
    declared: Declaration,
    metrics: Metrics,
    arrays: Arrays | None = None,
    identity: ConfigRecord | None = None,
) -> Message:
    """Build a reply; SiteError unless it is what is declared."""
    content = RecordDict({"metrics": MetricRecord(metrics)})
    if arrays is not None:
        content["arrays"] = to_record(arrays)
    if identity is not None:
        content["identity"] = identity
    require_declared(content, arrays or {}, declared)
    return Message(content=content, reply_to=message)


def _declared(site: Site, model: Detector, task: Mapping[str, object]) -> Declaration:
    shapes = {key: value.shape for key, value in get_params(model).items() if key in _wanted(task)}
    return training_reply(shapes, "upload-tag" in task, _kinds(site))


def _recalled(site: Site, message: Message, context: Context) -> SiteState | None:
    """Fill the context with what this site remembers; None where nothing is kept on disk."""
    task = message.content.config_records["task"]
    memory = site_state(site.name, task, context, site.config.state)
    if memory is not None:
        memory.load(context)
    return memory


def _remember(
    memory: SiteState | None, scores: Metrics, task: Mapping[str, object], context: Context
) -> None:
    """Keep the site's latest calibration, and all else that it holds, for its next process."""
    latest: Metrics = {**scores, "server-round": _server_round(task)}
    context.state["calibration"] = MetricRecord(latest)
    if memory is not None:
        memory.save(context)


def _learn(
    site: Site, model: Detector, training: Prepared, task: Mapping[str, object], arrays: Arrays
) -> tuple[int, float, int]:
    """Train `model` in place; return number of rows, mean loss and number of steps."""
    rows, settings = _rows(site, training, model), site.config.train
    steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
    spec = TrainingSpec(settings.lr, settings.batch_size, _proximal_mu(task))
    lesson = _distillation(site, task, arrays)
    loss = train(model, rows, steps, spec, site.rng(_server_round(task)), lesson)
    return len(rows), loss, steps


def _receive(message: Message, context: Context) -> Arrays:
    content = message.content
    return receive(content.array_records["arrays"], content.config_records["listing"], context)


def _server_round(task: Mapping[str, object]) -> int:
    value = task["server-round"]
    assert isinstance(value, int)
    return value


def _rows(site: Site, training: Prepared, model: Detector) -> Rows:
    device = next(model.parameters()).device
    rows = training.rows(device).for_model(model)
    if not len(rows):
        raise SiteError(
            f"site {site.name}: no rows to train the {model.spec.kind} on; it needs "
            + ("labelled rows" if model.spec.kind == "classifier" else "rows of normal operation")
        )
    return rows


def _uploaded(
    site: Site, model: Detector, received: Arrays, message: Message, context: Context
) -> Arrays:
    """Return the layers that the task wants; noise comes before rounding, which then adds none."""
    task, base = message.content.config_records["task"], as_params(with_prefix("model", received))
    trained = {key: value for key, value in get_params(model).items() if key in _wanted(task)}
    if site.config.privacy.dp:
        trained = privatise(trained, base, site.config.privacy, message, context)
    if "upload-tag" not in task:
        return {**trained}
    tag, follows = str(task["upload-tag"]), str(task["upload-follows"])
    return compress(trained, base, tag, follows, context)


def _wanted(task: Mapping[str, object]) -> list[str]:
    upload = task["upload"]
    assert isinstance(upload, list)
    return upload


def _proximal_mu(task: Mapping[str, object]) -> float:
    mu = task.get("fedprox.mu", 0.0)
    assert isinstance(mu, float)
    return mu


def _distillation(site: Site, task: Mapping[str, object], arrays: Arrays) -> Distillation | None:
    if "dtkd.lambda" not in task:
        return None
    weight, temperature = task["dtkd.lambda"], task["dtkd.temperature"]
    assert isinstance(weight, float) and isinstance(temperature, float)
    return Distillation(site.model(arrays, "teacher"), weight, temperature)


def _kinds(site: Site) -> int:
    return len(evidence_kinds(site.config.detector.evidence))


def _sketches(
    site: Site, model: Detector, training: Prepared, calibration: Prepared
) -> list[Sketch]:
    settings = site.config.detector
    kinds = evidence_kinds(settings.evidence)
    return sketch_evidence(kinds, calibration.evidence(model, settings), training, calibration)


def _quality_metrics(quality: QualityReport) -> Metrics:
    """Per channel: shares of readings that were missing, frozen, and set to missing."""
    return {
        name: [float(getattr(channel, name)) for channel in quality.channels]
        for name in ("missing", "frozen", "removed")
    }


def _sketch_metrics(sketches: list[Sketch]) -> Metrics:
    """Counts per kind, and one after the other the scores of those kinds that have any."""
    values = np.concatenate([sketch.values for sketch in sketches]).tolist()
    scores: Metrics = {"calibration-scores": values} if values else {}
    return {"calibration-counts": [sketch.count for sketch in sketches], **scores}
