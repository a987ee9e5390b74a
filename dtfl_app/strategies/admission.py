"""Checks on every reply before it may touch the model: a bad one is refused, the round goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, MetricRecord
from numpy.typing import NDArray

from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.detector.models import Params
from dtfl_app.detector.quantise import SCALE, dequantise
from dtfl_app.errors import ReplyError
from dtfl_app.wire import Arrays, to_arrays

__all__ = [
    "EXAMPLES_LIMIT",
    "WEIGHT_LIMIT",
    "Expected",
    "Reply",
    "admit",
    "admit_sketches",
    "usable",
]

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
    base : the same layers as the site received them, if it is to return int8 changes of them;
        None = float32 layers.
    kinds : kinds of evidence whose calibration scores the site sketches.
    """

    site: str
    server_round: int
    shapes: Mapping[str, tuple[int, ...]]
    base: Params | None = None
    kinds: int = 1


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
    sketches : calibration scores of the model the site received, per kind of evidence.
    payload : bytes of the arrays that travelled.
    weight : how much the reply counts beside the others, in (0, 1].
    """

    site: str
    params: Params
    examples: int
    loss: float
    steps: int
    sketches: tuple[Sketch, ...]
    payload: int
    weight: float = 1.0


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
        params=_checked_params(arrays, expected),
        examples=_whole(metrics, "num-examples", 1, EXAMPLES_LIMIT),
        loss=_finite(metrics, "loss"),
        steps=_whole(metrics, "steps", 0, EXAMPLES_LIMIT),
        sketches=_read_sketches(metrics, expected.kinds),
        # of what was read: the record's own dtype and shape are the site's to write
        payload=sum(array.nbytes for array in arrays.values()),
    )


def admit_sketches(message: Message, kinds: int) -> tuple[Sketch, ...]:
    """Turn a site's answer to the closing query into a sketch per kind, or raise ReplyError."""
    if message.has_error():
        raise ReplyError(f"site failed: {message.error.reason}")
    if "metrics" not in message.content.metric_records:
        raise ReplyError("record 'metrics' is missing")
    return _read_sketches(message.content.metric_records["metrics"], kinds)


def _read_sketches(metrics: MetricRecord, kinds: int) -> tuple[Sketch, ...]:
    counts = metrics.get("calibration-counts")
    if not isinstance(counts, list) or len(counts) != kinds:
        raise ReplyError(f"calibration-counts is {counts!r}, expected a list of {kinds}")
    whole = [count for count in counts if type(count) is int and 0 <= count <= EXAMPLES_LIMIT]
    if len(whole) < kinds:
        raise ReplyError(
            f"calibration-counts is {counts}, expected integers from 0 to {EXAMPLES_LIMIT}"
        )
    filled, levels = sum(count > 0 for count in whole), len(SKETCH_LEVELS)
    values = metrics.get("calibration-scores", [])
    if not isinstance(values, list) or len(values) != filled * levels:
        raise ReplyError(f"calibration-scores must be {filled} times {levels} numbers")
    array = np.asarray(values, dtype=np.float64).reshape(filled, levels)
    if not np.isfinite(array).all() or (np.diff(array) < 0).any():
        raise ReplyError("calibration-scores must be finite and ascending")
    rows = iter(array)
    return tuple(Sketch(n, next(rows)) if n else Sketch(0, np.zeros(0)) for n in whole)


def usable(params: Params) -> bool:
    """Tell whether all values are finite and no larger than `WEIGHT_LIMIT`."""
    return all(bool((np.abs(value) <= WEIGHT_LIMIT).all()) for value in params.values())


def _checked_params(arrays: Arrays, expected: Expected) -> Params:
    dtype = np.dtype(np.float32 if expected.base is None else np.int8)
    endings = ("",) if expected.base is None else ("", SCALE)
    names = {f"model/{key}{ending}" for key in expected.shapes for ending in endings}
    if set(arrays) != names:
        raise ReplyError(f"layers are {sorted(arrays)}, expected {sorted(names)}")
    params: Params = {}
    for key, shape in expected.shapes.items():
        array = arrays[f"model/{key}"]
        if array.dtype != dtype or array.shape != shape:
            raise ReplyError(
                f"layer {key!r} is {array.dtype} {array.shape}, expected {dtype} {shape}"
            )
        if expected.base is None:
            params[key] = array.astype(np.float32, copy=False)
        else:
            scale = arrays[f"model/{key}{SCALE}"]
            params[key] = expected.base[key] + _checked_change(key, array, scale)
        if not usable({key: params[key]}):
            raise ReplyError(
                f"layer {key!r} holds values that are not finite or beyond {WEIGHT_LIMIT:g}"
            )
    return params


def _checked_change(
    key: str, steps: NDArray[np.generic], scale: NDArray[np.generic]
) -> NDArray[np.float32]:
    if scale.dtype != np.float32 or scale.shape != (1,):
        raise ReplyError(
            f"scale of layer {key!r} is {scale.dtype} {scale.shape}, expected float32 (1,)"
        )
    if not 0 < float(scale[0]) < math.inf:
        raise ReplyError(f"scale of layer {key!r} is {scale[0]}, expected a positive finite number")
    with np.errstate(over="ignore"):  # a product beyond float32 is refused with its layer
        return dequantise({key: steps, key + SCALE: scale})[key]


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
