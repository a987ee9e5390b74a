"""The question how a model scores normal operation, and its answer: a sketch of the scores.

It stands alone once a run is over; a training task asks it too, and a training reply answers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.detector.samples import Judged
from dtfl_app.messages.declaration import (
    EXAMPLES_LIMIT,
    Declaration,
    Metrics,
    MetricSpec,
    is_finite,
    open_reply,
    pack_reply,
)
from dtfl_app.messages.judgement import judged_metrics, judged_specs, read_judged
from dtfl_app.messages.versions import Versions
from dtfl_app.messages.wire import PackedTask

__all__ = [
    "EXAMPLES_LIMIT",
    "CalibrationReply",
    "CalibrationTask",
    "read_entry",
    "read_sketches",
    "sketch_metrics",
    "sketch_specs",
    "task_entries",
    "texts",
]

_TASK, _SITE, _ROUND, _RUN = "task", "site", "server-round", "run"
_START, _RESULT, _KEEP = "state-from", "state-as", "state-keep"
_PERSONAL = "personal-keys"
_COUNTS, _SCORES = "calibration-counts", "calibration-scores"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CalibrationTask:
    """Score your calibration rows with this model.

    Parameters
    ----------
    site : name of the site that is asked.
    server_round : the round.
    run : the run's identity, under which the site keeps its state; empty = not on disk.
    versions : which version of its own arrays the site goes on from; None = it keeps none.
    personal : keys of parameters of which the site has values of its own, which never leave it.
    """

    kind: ClassVar[str] = "query.calibrate"

    site: str
    server_round: int
    run: str
    versions: Versions | None = field(default=None, kw_only=True)
    personal: tuple[str, ...] = field(default=(), kw_only=True)

    def entries(self) -> dict[str, object]:
        """What the task's record holds."""
        run = {_RUN: self.run} if self.run else {}
        named: dict[str, object] = {}
        if (own := self.versions) is not None:
            named = {_START: own.start, _RESULT: own.result, _KEEP: list(own.keep)}
        if self.personal:
            named[_PERSONAL] = list(self.personal)
        return {_ROUND: self.server_round, _SITE: self.site, **run, **named}

    def pack(self, node: int, packed: PackedTask) -> Message:
        """Address the task and its arrays to a node."""
        content = packed.records()
        content[_TASK] = ConfigRecord(self.entries())  # type: ignore[arg-type] # Flower's scalars
        return Message(content=content, message_type=self.kind, dst_node_id=node)

    @classmethod
    def unpack(cls, message: Message) -> CalibrationTask:
        """Read the task of a message; ReplyError where an entry is missing or of another type."""
        entries = task_entries(message)
        return CalibrationTask(
            site=read_entry(entries, _SITE, str),
            server_round=read_entry(entries, _ROUND, int),
            run=read_entry(entries, _RUN, str, ""),
            versions=_versions(entries) if _START in entries else None,
            personal=texts(entries, _PERSONAL) if _PERSONAL in entries else (),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationReply:
    """How the model scores normal operation, a sketch per kind of evidence, and labelled rows."""

    sketches: tuple[Sketch, ...]
    judged: Judged = ()

    @staticmethod
    def declaration(kinds: int, *, judged: bool = False) -> Declaration:
        """Declare the answer to the closing query, on `kinds` kinds of evidence.

        `judged` : whether the site alone has the model whole, so that it may score labelled rows.
        """
        more = judged_specs(kinds) if judged else {}
        return Declaration(arrays=None, metrics={**sketch_specs(kinds), **more}, identity=None)

    def pack(self, task: Message) -> Message:
        """Build the reply to a task."""
        return pack_reply(task, {**sketch_metrics(self.sketches), **judged_metrics(self.judged)})

    @classmethod
    def unpack(cls, message: Message, kinds: int, *, judged: bool = False) -> CalibrationReply:
        """Read a site's message, or raise ReplyError with the reason for refusing it."""
        metrics = open_reply(message, cls.declaration(kinds, judged=judged)).metrics
        return cls(read_sketches(metrics, kinds), read_judged(metrics, kinds))


# --- parts that a training task and its reply have too --------------------------------------------


def task_entries(message: Message) -> ConfigRecord:
    """Return the entries of a message's task; none where it has no task."""
    return message.content.config_records.get(_TASK, ConfigRecord())


def read_entry(entries: ConfigRecord, key: str, kind: type[T], default: T | None = None) -> T:
    """Return an entry of a task; ReplyError where it is of another type, or missing and needed."""
    value = entries.get(key, default)
    if type(value) is not kind:
        raise ReplyError(f"the task's {key} is {quoted(value)}, expected {kind.__name__}")
    return value


def texts(entries: ConfigRecord, key: str) -> tuple[str, ...]:
    """Return an entry of a task that is a list of texts, or raise ReplyError."""
    value: list[object] = read_entry(entries, key, list)
    if not all(isinstance(text, str) for text in value):
        raise ReplyError(f"the task's {key} is {quoted(value)}, expected names")
    return tuple(str(text) for text in value)


def _versions(entries: ConfigRecord) -> Versions:
    start, result = (read_entry(entries, key, str) for key in (_START, _RESULT))
    return Versions(start, result, texts(entries, _KEEP))


def sketch_specs(kinds: int) -> dict[str, MetricSpec]:
    """Declare a sketch for each of `kinds` kinds of evidence that has any scores."""
    levels = tuple(n * len(SKETCH_LEVELS) for n in range(1, kinds + 1))
    return {
        _COUNTS: MetricSpec(int, (kinds,)),
        _SCORES: MetricSpec(float, levels, optional=True),
    }


def sketch_metrics(sketches: Sequence[Sketch]) -> Metrics:
    """Counts per kind, and one after the other the scores of those kinds that have any."""
    values = np.concatenate([sketch.values for sketch in sketches]).tolist()
    scores: Metrics = {_SCORES: values} if values else {}
    return {_COUNTS: [sketch.count for sketch in sketches], **scores}


def read_sketches(metrics: MetricRecord, kinds: int) -> tuple[Sketch, ...]:
    """Inverse of `sketch_metrics`; ReplyError where a site wrote anything else."""
    counts = metrics.get(_COUNTS)
    if not isinstance(counts, list) or len(counts) != kinds:
        raise ReplyError(f"{_COUNTS} is {quoted(counts)}, expected a list of {kinds}")
    whole = [count for count in counts if type(count) is int and 0 <= count <= EXAMPLES_LIMIT]
    if len(whole) < kinds:
        raise ReplyError(
            f"{_COUNTS} is {quoted(counts)}, expected integers from 0 to {EXAMPLES_LIMIT}"
        )
    filled, levels = sum(count > 0 for count in whole), len(SKETCH_LEVELS)
    values = metrics.get(_SCORES, [])
    if not isinstance(values, list) or len(values) != filled * levels:
        raise ReplyError(f"{_SCORES} must be {filled} times {levels} numbers")
    if not all(is_finite(value) for value in values):
        raise ReplyError(f"{_SCORES} must be finite numbers")
    array = np.asarray(values, dtype=np.float64).reshape(filled, levels)
    if (np.diff(array) < 0).any():
        raise ReplyError(f"{_SCORES} must be ascending")
    rows = iter(array)
    return tuple(Sketch(n, next(rows)) if n else Sketch(0, np.zeros(0)) for n in whole)
