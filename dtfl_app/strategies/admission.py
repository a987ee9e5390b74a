"""Checks on every reply before it may touch the model: a bad one is refused, the round goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, MetricRecord

from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.detector.models import Params
from dtfl_app.errors import ReplyError
from dtfl_app.wire import Arrays, to_arrays

__all__ = ["EXAMPLES_LIMIT", "WEIGHT_LIMIT", "Expected", "Reply", "admit", "admit_sketch"]

# Above any site's rows; a larger count is an attempt to outweigh all others.
EXAMPLES_LIMIT = 10_000_000
# Inputs are standardised and clipped, so trained weights stay below 100; one reply of 1e30 would
# be finite and ruin the mean all the same.
WEIGHT_LIMIT = 1e6


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reply to one task must look like.

    Parameters
    ----------
    site : the name the site enrolled under.
    server_round : the round the task belongs to.
    shapes : parameter key -> shape, of the layers the site was asked to return.
    """

    site: str
    server_round: int
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Reply:
    """One admitted reply.

    Parameters
    ----------
    site : the site's name.
    params : the returned layers.
    examples : rows the site trained on, > 0.
    loss : mean training loss.
    steps : optimiser steps taken.
    sketch : calibration scores of the model the site received.
    payload : bytes of the arrays that travelled.
    """

    site: str
    params: Params
    examples: int
    loss: float
    steps: int
    sketch: Sketch
    payload: int


def admit(message: Message, expected: Expected) -> Reply:
    """Turn a site's message into a `Reply`, or raise ReplyError with the reason for refusing it."""
    if message.has_error():
        raise ReplyError(f"site failed: {message.error.reason}")
    content = message.content
    parts: dict[str, Mapping[str, object]] = {
        "arrays": content.array_records,
        "metrics": content.metric_records,
        "identity": content.config_records,
    }
    for part, records in parts.items():
        if part not in records:
            raise ReplyError(f"record {part!r} is missing")
    identity = content.config_records["identity"]
    if (identity.get("site"), identity.get("server-round")) != (
        expected.site,
        expected.server_round,
    ):
        raise ReplyError(
            f"reply says site {identity.get('site')!r}, round {identity.get('server-round')!r}; "
            f"expected {expected.site!r}, round {expected.server_round}"
        )
    arrays = to_arrays(content.array_records["arrays"])
    metrics = content.metric_records["metrics"]
    return Reply(
        site=expected.site,
        params=_checked_params(arrays, expected.shapes),
        examples=_whole(metrics, "num-examples", 1, EXAMPLES_LIMIT),
        loss=_finite(metrics, "loss"),
        steps=_whole(metrics, "steps", 0, EXAMPLES_LIMIT),
        sketch=_read_sketch(metrics),
        # of what was read: the record's own dtype and shape are the site's to write
        payload=sum(array.nbytes for array in arrays.values()),
    )


def admit_sketch(message: Message) -> Sketch:
    """Turn a site's answer to the closing query into a sketch, or raise ReplyError."""
    if message.has_error():
        raise ReplyError(f"site failed: {message.error.reason}")
    if "metrics" not in message.content.metric_records:
        raise ReplyError("record 'metrics' is missing")
    return _read_sketch(message.content.metric_records["metrics"])


def _read_sketch(metrics: MetricRecord) -> Sketch:
    count = _whole(metrics, "calibration-count", 0, EXAMPLES_LIMIT)
    values = metrics.get("calibration-scores")
    if count == 0:
        return Sketch(0, np.zeros(0))
    if not isinstance(values, list) or len(values) != len(SKETCH_LEVELS):
        raise ReplyError(f"calibration-scores must be {len(SKETCH_LEVELS)} numbers")
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or (np.diff(array) < 0).any():
        raise ReplyError("calibration-scores must be finite and ascending")
    return Sketch(count, array)


def _checked_params(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Params:
    names = {key: f"model/{key}" for key in shapes}
    if set(arrays) != set(names.values()):
        raise ReplyError(f"layers are {sorted(arrays)}, expected {sorted(names.values())}")
    params: Params = {}
    for key, shape in shapes.items():
        array = arrays[names[key]]
        if array.dtype != np.float32 or array.shape != shape:
            raise ReplyError(
                f"layer {key!r} is {array.dtype} {array.shape}, expected float32 {shape}"
            )
        if not (np.abs(array) <= WEIGHT_LIMIT).all():
            raise ReplyError(
                f"layer {key!r} holds values that are not finite or beyond {WEIGHT_LIMIT:g}"
            )
        params[key] = array.astype(np.float32, copy=False)
    return params


def _whole(metrics: MetricRecord, key: str, low: int, high: int) -> int:
    value = metrics.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ReplyError(f"metric {key!r} is {value!r}, expected an integer in [{low}, {high}]")
    return value


def _finite(metrics: MetricRecord, key: str) -> float:
    value = metrics.get(key)
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ReplyError(f"metric {key!r} is {value!r}, expected a finite number")
    return float(value)  # type: ignore[arg-type] # checked above
