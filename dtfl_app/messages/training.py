"""A round's training task, and a site's reply to it: the layers it trained and what it counted.

Besides, they ask and answer how the received model scores normal operation; that part is of
`dtfl_app.messages.calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flwr.app import ConfigRecord, Message, MessageType

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.core.settings import setting
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.models import Params
from dtfl_app.messages.calibration import (
    EXAMPLES_LIMIT,
    CalibrationTask,
    read_entry,
    read_sketches,
    sketch_metrics,
    sketch_specs,
    task_entries,
    texts,
)
from dtfl_app.messages.declaration import (
    SITE,
    ArraySpec,
    Declaration,
    MetricSpec,
    Records,
    open_reply,
    pack_reply,
)
from dtfl_app.messages.payload import read_arrays
from dtfl_app.messages.quantise import SCALE, Quantised
from dtfl_app.messages.wire import MODEL, PackedTask, prefixed, with_prefix

__all__ = ["Expected", "ProximalTerm", "TeacherTerm", "TrainingReply", "TrainingTask"]

_METHOD = "method"
_UPLOAD, _TAG, _FOLLOWS = "upload", "upload-tag", "upload-follows"
_ROUND = "server-round"
_EXAMPLES, _LOSS, _STEPS = "num-examples", "loss", "steps"


# --- what a method tells its sites, each part by a class of its own -------------------------------


@dataclass(frozen=True, slots=True)
class ProximalTerm:
    """FedProx's part of a site's loss: ``mu / 2 * ||w - received||^2``."""

    group: ClassVar[str] = "proximal"

    mu: float = setting(0.0, "weight of the pull towards the received model", low=0.0)


@dataclass(frozen=True, slots=True)
class TeacherTerm:
    """DTKD's part of a site's loss: the pull towards a teacher's outputs; weight 0 = none."""

    group: ClassVar[str] = "teacher"

    weight: float = setting(0.0, "weight of the teacher", low=0.0, high=1.0)
    temperature: float = setting(1.0, "temperature of soft targets", above=0.0)


# --- the task -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainingTask(CalibrationTask):
    """Score your calibration rows with this model, train it on the others, return these layers.

    Parameters
    ----------
    upload : keys of the parameters to return.
    tag : names an upload of int8 changes; empty = float32 layers.
    follows : tag of the last such upload of this site that counted.
    settings : what the method tells its sites, by `dtfl_app.core.settings.to_mapping` of a class
        for each of its parts; the site reads each part by `read_settings` of the same class.
    """

    kind: ClassVar[str] = MessageType.TRAIN

    upload: tuple[str, ...]
    tag: str = ""
    follows: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def entries(self) -> dict[str, object]:
        """What the task's record holds."""
        changes = {_TAG: self.tag, _FOLLOWS: self.follows} if self.tag else {}
        return {**CalibrationTask.entries(self), _UPLOAD: list(self.upload), **changes}

    def pack(self, node: int, packed: PackedTask) -> Message:
        """Address the task and its arrays to a node."""
        message = CalibrationTask.pack(self, node, packed)
        message.content[_METHOD] = ConfigRecord({**self.settings})
        return message

    @classmethod
    def unpack(cls, message: Message) -> TrainingTask:
        """Read the task of a message; ReplyError where an entry is missing or of another type."""
        common, entries = CalibrationTask.unpack(message), task_entries(message)
        return cls(
            site=common.site,
            server_round=common.server_round,
            run=common.run,
            versions=common.versions,
            upload=texts(entries, _UPLOAD),
            tag=read_entry(entries, _TAG, str, ""),
            follows=read_entry(entries, _FOLLOWS, str, ""),
            settings={**message.content.config_records.get(_METHOD, {})},
        )


# --- the reply ------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True, eq=False)
class TrainingReply:
    """What a site made of a training task.

    Parameters
    ----------
    site : the site's name.
    server_round : the round that the task belongs to.
    layers : parameter key -> float32 layer; or int8 change, with its scale.
    examples : rows the site trained on.
    loss : mean training loss.
    steps : optimiser steps taken.
    sketches : calibration scores of the model the site received, per kind of evidence.
    """

    site: str
    server_round: int
    layers: Quantised
    examples: int
    loss: float
    steps: int
    sketches: tuple[Sketch, ...]

    @staticmethod
    def declaration(
        shapes: Mapping[str, tuple[int, ...]], as_changes: bool, kinds: int
    ) -> Declaration:
        """Declare the answer to a training task.

        Parameters
        ----------
        shapes : parameter key -> shape, of the layers that the task asks for.
        as_changes : they travel as int8 changes, each array with its scale.
        kinds : kinds of evidence whose scores are sketched.
        """
        layers: dict[str, ArraySpec] = {}
        for key, shape in shapes.items():
            layers[f"{MODEL}/{key}"] = ArraySpec("int8" if as_changes else "float32", tuple(shape))
            if as_changes:
                layers[f"{MODEL}/{key}{SCALE}"] = ArraySpec("float32", (1,))
        counts = {_EXAMPLES: MetricSpec(int), _LOSS: MetricSpec(float), _STEPS: MetricSpec(int)}
        return Declaration(
            arrays=layers,
            metrics={**counts, **sketch_specs(kinds)},
            identity={SITE: str, _ROUND: int},
        )

    def pack(self, task: Message) -> Message:
        """Build the reply to a task."""
        counts = {_EXAMPLES: self.examples, _LOSS: self.loss, _STEPS: self.steps}
        return pack_reply(
            task,
            {**counts, **sketch_metrics(self.sketches)},
            prefixed(MODEL, self.layers),
            {SITE: self.site, _ROUND: self.server_round},
        )

    @classmethod
    def unpack(cls, message: Message, expected: Expected) -> TrainingReply:
        """Read a site's message, or raise ReplyError with the reason for refusing it."""
        changes = expected.base is not None
        declared = cls.declaration(expected.shapes, changes, expected.kinds)
        records = open_reply(message, declared)
        _check_identity(records, expected)
        arrays = read_arrays(records.arrays, declared.arrays or {})
        return cls(
            site=expected.site,
            server_round=expected.server_round,
            layers=with_prefix(MODEL, arrays),
            examples=records.whole(_EXAMPLES, 1, EXAMPLES_LIMIT),
            loss=records.finite(_LOSS),
            steps=records.whole(_STEPS, 0, EXAMPLES_LIMIT),
            sketches=read_sketches(records.metrics, expected.kinds),
        )


def _check_identity(records: Records, expected: Expected) -> None:
    site, number = records.identity.get(SITE), records.identity.get(_ROUND)
    if (site, number) != (expected.site, expected.server_round) or type(number) is not int:
        raise ReplyError(
            f"reply says site {quoted(site)}, round {quoted(number)}; "
            f"expected {expected.site!r}, round {expected.server_round}"
        )
