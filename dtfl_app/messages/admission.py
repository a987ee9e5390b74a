"""Checks on every reply before it may touch the model: a bad one is refused, the round goes on.

A reply holds exactly what `dtfl_app.messages.egress` declares, by which sites check what they
send. What a site wrote stands in a reason only cut and escaped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, MetricRecord, RecordDict

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import one_line, quoted
from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.detector.models import Params
from dtfl_app.messages.egress import Declaration, calibration_reply, training_reply
from dtfl_app.messages.payload import WEIGHT_LIMIT, check_layers, listed, read_arrays, usable

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
    changes = expected.base is not None
    declared = training_reply(expected.shapes, as_changes=changes, kinds=expected.kinds)
    content = _content(message, declared)
    _check_identity(content, expected)
    metrics = content.metric_records["metrics"]
    arrays = read_arrays(content.array_records["arrays"], declared.arrays or {})
    return Reply(
        site=expected.site,
        params=check_layers(arrays, expected.shapes, expected.base),
        examples=_whole(metrics, "num-examples", 1, EXAMPLES_LIMIT),
        loss=_finite(metrics, "loss"),
        steps=_whole(metrics, "steps", 0, EXAMPLES_LIMIT),
        sketches=_read_sketches(metrics, expected.kinds),
        payload=sum(array.nbytes for array in arrays.values()),
    )


def admit_sketches(message: Message, kinds: int) -> tuple[Sketch, ...]:
    """Turn a site's answer to the closing query into a sketch per kind, or raise ReplyError."""
    content = _content(message, calibration_reply(kinds))
    return _read_sketches(content.metric_records["metrics"], kinds)


def _content(message: Message, declared: Declaration) -> RecordDict:
    """Return a reply's records; they are those declared, and hold no entry that is not."""
    if message.has_error():
        raise ReplyError(f"site failed: {one_line(message.error.reason or 'no reason given')}")
    content = message.content
    parts: dict[str, tuple[Mapping[str, object], Collection[str] | None]] = {
        "arrays": (content.array_records, declared.arrays),
        "metrics": (content.metric_records, declared.metrics),
        "identity": (content.config_records, declared.identity),
    }
    due = {part: records for part, (records, entries) in parts.items() if entries is not None}
    for part, records in due.items():
        if part not in records:
            raise ReplyError(f"record {part!r} is missing")
    _check_names("records", content.keys(), due)
    _check_names("metrics", content.metric_records["metrics"].keys(), declared.metrics)
    if declared.identity is not None:
        identity = content.config_records["identity"]
        _check_names("identity entries", identity.keys(), declared.identity)
    return content


def _check_names(what: str, names: Collection[str], declared: Collection[str]) -> None:
    unasked = set(names) - set(declared)
    if unasked:
        raise ReplyError(f"{what} not asked for: {listed(unasked)}; a reply holds nothing else")


def _check_identity(content: RecordDict, expected: Expected) -> None:
    identity = content.config_records["identity"]
    site, number = identity.get("site"), identity.get("server-round")
    if (site, number) != (expected.site, expected.server_round) or type(number) is not int:
        raise ReplyError(
            f"reply says site {quoted(site)}, round {quoted(number)}; "
            f"expected {expected.site!r}, round {expected.server_round}"
        )


def _read_sketches(metrics: MetricRecord, kinds: int) -> tuple[Sketch, ...]:
    counts = metrics.get("calibration-counts")
    if not isinstance(counts, list) or len(counts) != kinds:
        raise ReplyError(f"calibration-counts is {quoted(counts)}, expected a list of {kinds}")
    whole = [count for count in counts if type(count) is int and 0 <= count <= EXAMPLES_LIMIT]
    if len(whole) < kinds:
        raise ReplyError(
            f"calibration-counts is {quoted(counts)}, expected integers from 0 to {EXAMPLES_LIMIT}"
        )
    filled, levels = sum(count > 0 for count in whole), len(SKETCH_LEVELS)
    values = metrics.get("calibration-scores", [])
    if not isinstance(values, list) or len(values) != filled * levels:
        raise ReplyError(f"calibration-scores must be {filled} times {levels} numbers")
    if not all(_is_finite(value) for value in values):
        raise ReplyError("calibration-scores must be finite numbers")
    array = np.asarray(values, dtype=np.float64).reshape(filled, levels)
    if (np.diff(array) < 0).any():
        raise ReplyError("calibration-scores must be ascending")
    rows = iter(array)
    return tuple(Sketch(n, next(rows)) if n else Sketch(0, np.zeros(0)) for n in whole)


def _whole(metrics: MetricRecord, key: str, low: int, high: int) -> int:
    value = metrics.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ReplyError(
            f"metric {key!r} is {quoted(value)}, expected an integer in [{low}, {high}]"
        )
    return value


def _finite(metrics: MetricRecord, key: str) -> float:
    value = metrics.get(key)
    if not _is_finite(value):
        raise ReplyError(f"metric {key!r} is {quoted(value)}, expected a finite number")
    return float(value)  # type: ignore[arg-type] # checked above


def _is_finite(value: object) -> bool:
    """Tell whether it is an int or float, but no bool, that is finite."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]
