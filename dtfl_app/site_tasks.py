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

from dtfl_app.config import RunConfig
from dtfl_app.datasets import open_dataset
from dtfl_app.detector.calibration import Sketch, sketch_scores
from dtfl_app.detector.models import (
    Detector,
    build_model,
    get_params,
    resolve_device,
    set_params,
)
from dtfl_app.detector.quantise import dequantise
from dtfl_app.detector.training import Distillation, Rows, TrainingSpec, train
from dtfl_app.errors import ConfigError, DataError
from dtfl_app.preparation import Prepared, model_spec, prepare, scaler_from_arrays
from dtfl_app.settings import Value
from dtfl_app.sites.federation import SiteData
from dtfl_app.sites.quality import QualityReport
from dtfl_app.sites.scaling import ChannelSums, Scaler
from dtfl_app.wire import Arrays, prefixed, receive, to_record, with_prefix

__all__ = ["Site", "calibrate", "open_site", "profile", "train_round"]

# The models are small: a second thread costs more than it brings, and sites share the host.
torch.set_num_threads(1)


class Site:
    """One site's data in this process, prepared once for the scaling in force.

    Parameters
    ----------
    config : the run's settings.
    data : the site's features.
    """

    def __init__(self, config: RunConfig, data: SiteData) -> None:
        self.config = config
        self.data = data
        self._key: dict[str, object] = {}
        self._prepared: tuple[Prepared, Prepared] | None = None

    @property
    def name(self) -> str:
        """Stable name; the server knows the site by it."""
        return self.data.name

    def prepared(self, scaler: Scaler) -> tuple[Prepared, Prepared]:
        """Training and calibration rows in this scaling."""
        if self._prepared is None or self._key != scaler.to_dict():
            window = self.config.detector.window
            self._prepared = (
                prepare(self.data.features_train, scaler, window),
                prepare(self.data.features_cal, scaler, window),
            )
            self._key = scaler.to_dict()
        return self._prepared

    def model(self, arrays: Arrays, prefix: str = "model") -> Detector:
        """Build the detector with the received parameters."""
        spec = model_spec(self.config.detector, len(self.data.features_train.names))
        model = build_model(spec, seed=0).to(resolve_device(self.config.run.device))
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
    return Site(config, open_dataset(config).load_site(index, total))


def profile(message: Message, context: Context) -> Message:
    """Answer who this site is, the moments of its normal rows, and how sound its readings are."""
    site = open_site(context)
    features = site.data.features_train
    moments = ChannelSums.of(features.values[features.label < 1])
    content = RecordDict(
        {
            "arrays": to_record({"n": moments.n, "mean": moments.mean, "m2": moments.m2}),
            "identity": ConfigRecord({"site": site.name, "schema": site.data.schema.digest()}),
            "metrics": MetricRecord(_quality_metrics(site.data.quality)),  # type: ignore[arg-type] # lists
        }
    )
    return Message(content=content, reply_to=message)


def train_round(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model, train it, reply with both."""
    site, arrays = open_site(context), _receive(message, context)
    task = message.content.config_records["task"]
    model = site.model(arrays)
    training, calibration = site.prepared(scaler_from_arrays(with_prefix("scaler", arrays)))
    sketch = _sketch(site, model, calibration)
    rows = _rows(site, training, model)
    settings, server_round = site.config.train, _server_round(task)
    steps = settings.local_epochs * math.ceil(len(rows) / settings.batch_size)
    spec = TrainingSpec(settings.lr, settings.batch_size, settings.proximal_mu)
    lesson = _distillation(site, task, arrays)
    loss = train(model, rows, steps, spec, site.rng(server_round), lesson)
    metrics = {"num-examples": len(rows), "loss": loss, "steps": steps, **_sketch_metrics(sketch)}
    content = RecordDict(
        {
            "arrays": to_record(prefixed("model", _uploaded(model, task))),
            "identity": ConfigRecord({"site": site.name, "server-round": server_round}),
            "metrics": MetricRecord(metrics),  # type: ignore[arg-type] # ints, floats and a list
        }
    )
    return Message(content=content, reply_to=message)


def calibrate(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model."""
    site, arrays = open_site(context), _receive(message, context)
    _, calibration = site.prepared(scaler_from_arrays(with_prefix("scaler", arrays)))
    sketch = _sketch(site, site.model(arrays), calibration)
    metrics = MetricRecord(_sketch_metrics(sketch))  # type: ignore[arg-type] # int and list
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


def _uploaded(model: Detector, task: Mapping[str, object]) -> dict[str, np.ndarray]:
    upload = task["upload"]
    assert isinstance(upload, list)
    return {key: value for key, value in get_params(model).items() if key in upload}


def _distillation(site: Site, task: Mapping[str, object], arrays: Arrays) -> Distillation | None:
    if "kd-lambda" not in task:
        return None
    weight, temperature = task["kd-lambda"], task["kd-temperature"]
    assert isinstance(weight, float) and isinstance(temperature, float)
    return Distillation(site.model(arrays, "teacher"), weight, temperature)


def _sketch(site: Site, model: Detector, calibration: Prepared) -> Sketch:
    scores = calibration.score(model, site.config.detector.smoothing).total
    return sketch_scores(scores[calibration.features.label < 1])


def _quality_metrics(quality: QualityReport) -> dict[str, list[float]]:
    """Per channel: shares of readings that were missing, frozen, and set to missing."""
    return {
        name: [float(getattr(channel, name)) for channel in quality.channels]
        for name in ("missing", "frozen", "removed")
    }


def _sketch_metrics(sketch: Sketch) -> dict[str, int | list[float]]:
    scores = {"calibration-scores": sketch.values.tolist()} if sketch.count else {}
    return {"calibration-count": sketch.count, **scores}
