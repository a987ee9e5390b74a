"""What a site does when the server asks: say what it has, train, calibrate.

Rows never leave; what leaves is in the replies built here: moments per channel, layers, counts,
the loss and a sketch of calibration scores.
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

from dtfl_app.config import RunConfig
from dtfl_app.datasets import open_dataset
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.evidence import evidence_kinds
from dtfl_app.detector.models import (
    Detector,
    as_params,
    build_model,
    get_params,
    resolve_device,
    set_params,
)
from dtfl_app.detector.quantise import dequantise
from dtfl_app.detector.training import Distillation, Rows, TrainingSpec, train
from dtfl_app.errors import ConfigError, DataError
from dtfl_app.physics import SitePhysics, open_physics
from dtfl_app.preparation import Prepared, model_spec, prepare, scaler_from_arrays, sketch_evidence
from dtfl_app.settings import Value
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import SiteData
from dtfl_app.sites.quality import QualityReport
from dtfl_app.sites.scaling import ChannelSums, Scaler
from dtfl_app.wire import Arrays, compress, prefixed, receive, to_record, with_prefix

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
    """Return the site that this node stands for."""
    node = context.node_config
    index, total = node.get("partition-id"), node.get("num-partitions")
    if not isinstance(index, int) or not isinstance(total, int):
        raise ConfigError(
            f"node config: partition-id = {index!r}, num-partitions = {total!r}; expected two "
            "integers, as Flower's simulation gives them"
        )
    return _open_site(tuple(sorted(context.run_config.items())), index, total)


# One simulation worker serves many sites in turn; reading a site's files each round would cost
# more than training on them.
@lru_cache(maxsize=64)
def _open_site(run_config: tuple[tuple[str, Value], ...], index: int, total: int) -> Site:
    config = RunConfig.from_mapping(dict(run_config))
    dataset = open_dataset(config)
    return Site(config, dataset.load_site(index, total), open_physics(config, dataset))


def profile(message: Message, context: Context) -> Message:
    """Answer who this site is, the moments of its normal rows, and how sound its readings are.

    Where the balance of districts counts as evidence, also the sums of its demands by hour of the
    week.
    """
    site = open_site(context)
    features = site.data.features_train
    moments = ChannelSums.of(features.values[features.label < 1])
    arrays = {"n": moments.n, "mean": moments.mean, "m2": moments.m2}
    if site.physics is not None and site.physics.needs_demand:
        sums = site.physics.demand_sums(features)
        arrays |= {"demand-count": sums.count, "demand-total": sums.total}
    content = RecordDict(
        {
            "arrays": to_record(arrays),
            "identity": ConfigRecord({"site": site.name, "schema": site.data.schema.digest()}),
            "metrics": MetricRecord(_quality_metrics(site.data.quality)),
        }
    )
    return Message(content=content, reply_to=message)


def train_round(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model, train it, reply with both."""
    site, arrays = open_site(context), _receive(message, context)
    task = message.content.config_records["task"]
    model = site.model(arrays)
    training, calibration = site.prepared(arrays)
    sketches = _sketches(site, model, training, calibration)
    rows = _rows(site, training, model)
    settings, server_round = site.config.train, _server_round(task)
    steps = settings.local_epochs * math.ceil(len(rows) / settings.batch_size)
    spec = TrainingSpec(settings.lr, settings.batch_size, _proximal_mu(task))
    lesson = _distillation(site, task, arrays)
    loss = train(model, rows, steps, spec, site.rng(server_round), lesson)
    metrics: Metrics = {"num-examples": len(rows), "loss": loss, "steps": steps}
    content = RecordDict(
        {
            "arrays": to_record(prefixed("model", _uploaded(model, arrays, task, context))),
            "identity": ConfigRecord({"site": site.name, "server-round": server_round}),
            "metrics": MetricRecord(metrics | _sketch_metrics(sketches)),
        }
    )
    return Message(content=content, reply_to=message)


def calibrate(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model."""
    site, arrays = open_site(context), _receive(message, context)
    sketches = _sketches(site, site.model(arrays), *site.prepared(arrays))
    metrics = MetricRecord(_sketch_metrics(sketches))
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)


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
        raise DataError(
            f"site {site.name}: no rows to train the {model.spec.kind} on; it needs "
            + ("labelled rows" if model.spec.kind == "classifier" else "rows of normal operation")
        )
    return rows


def _uploaded(
    model: Detector, received: Arrays, task: Mapping[str, object], context: Context
) -> Arrays:
    upload = task["upload"]
    assert isinstance(upload, list)
    trained = {key: value for key, value in get_params(model).items() if key in upload}
    if "upload-tag" not in task:
        return {**trained}
    base = as_params(with_prefix("model", received))
    tag, follows = str(task["upload-tag"]), str(task["upload-follows"])
    return compress(trained, base, tag, follows, context)


def _proximal_mu(task: Mapping[str, object]) -> float:
    mu = task.get("prox-mu", 0.0)
    assert isinstance(mu, float)
    return mu


def _distillation(site: Site, task: Mapping[str, object], arrays: Arrays) -> Distillation | None:
    if "kd-lambda" not in task:
        return None
    weight, temperature = task["kd-lambda"], task["kd-temperature"]
    assert isinstance(weight, float) and isinstance(temperature, float)
    return Distillation(site.model(arrays, "teacher"), weight, temperature)


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
