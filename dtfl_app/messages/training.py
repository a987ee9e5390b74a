"""A round's training task, and a site's reply to it: the layers it trained and what it counted.

Besides, they ask and answer how the received model scores normal operation; that part is of
`dtfl_app.messages.calibration`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flwr.app import ConfigRecord, Message, MessageType

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.core.settings import setting
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.params import Params
from dtfl_app.detector.samples import Judged
from dtfl_app.messages.calibration import (
    CalibrationTask,
    read_entry,
    read_sketches,
    sketch_metrics,
    sketch_specs,
    task_entries,
    texts,
)
from dtfl_app.messages.declaration import (
    EXAMPLES_LIMIT,
    SITE,
    ArraySpec,
    Declaration,
    MetricSpec,
    Records,
    open_reply,
    pack_reply,
)
from dtfl_app.messages.judgement import judged_metrics, judged_specs, read_judged
from dtfl_app.messages.payload import read_arrays
from dtfl_app.messages.quantise import SCALE, Quantised
from dtfl_app.messages.wire import EXTRA, MODEL, PackedTask, prefixed, with_prefix

__all__ = ["Expected", "ProximalTerm", "TeacherTerm", "TrainingReply", "TrainingTask"]

_METHOD = "method"
_UPLOAD, _TAG, _FOLLOWS = "upload", "upload-tag", "upload-follows"
_RULE, _EXTRAS, _SHAPES = "site-rule", "upload-extras", "upload-extra-shapes"
_ROUND = "server-round"
_SHAPE = re.compile(r"(\d{1,9}(x\d{1,9})*)?")
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
    rule : name of the method's site half; empty = it has none.
    extras : name -> shape of the float32 arrays to return besides.
    """

    kind: ClassVar[str] = MessageType.TRAIN

    upload: tuple[str, ...]
    tag: str = ""
    follows: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    rule: str = ""
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def entries(self) -> dict[str, object]:
        """What the task's record holds."""
        told: dict[str, object] = {_UPLOAD: list(self.upload)}
        if self.tag:
            told |= {_TAG: self.tag, _FOLLOWS: self.follows}
        if self.rule:
            told[_RULE] = self.rule
        if self.extras:
            shapes = ["x".join(map(str, shape)) for shape in self.extras.values()]
            told |= {_EXTRAS: list(self.extras), _SHAPES: shapes}
        return {**CalibrationTask.entries(self), **told}

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
            personal=common.personal,
            upload=texts(entries, _UPLOAD),
            tag=read_entry(entries, _TAG, str, ""),
            follows=read_entry(entries, _FOLLOWS, str, ""),
            settings={**message.content.config_records.get(_METHOD, {})},
            rule=read_entry(entries, _RULE, str, ""),
            extras=_extras(entries) if _EXTRAS in entries else {},
        )


def _extras(entries: ConfigRecord) -> dict[str, tuple[int, ...]]:
    names, shapes = texts(entries, _EXTRAS), texts(entries, _SHAPES)
    if len(names) != len(shapes) or not all(_SHAPE.fullmatch(shape) for shape in shapes):
        raise ReplyError(
            f"the task's {_SHAPES} is {quoted(list(shapes))}, expected {len(names)} shapes like 3x4"
        )
    sizes = [tuple(int(n) for n in shape.split("x") if n) for shape in shapes]
    return dict(zip(names, sizes, strict=True))


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
    extras : name -> shape, of the other arrays it was asked for; int8 where the layers are changes.
    start : the model as the site received it.
    judged : whether the site, which alone has its model whole, may score labelled rows.
    """

    site: str
    server_round: int
    shapes: Mapping[str, tuple[int, ...]]
    base: Params | None = None
    kinds: int = 1
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    start: Params = field(default_factory=dict)
    judged: bool = False


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
    extras : what the method's site half returns: name -> float32, or int8 with its scale.
    judged : scores of labelled rows by the site's own model, as it was before training.
    """

    site: str
    server_round: int
    layers: Quantised
    examples: int
    loss: float
    steps: int
    sketches: tuple[Sketch, ...]
    extras: Quantised = field(default_factory=dict)
    judged: Judged = ()

    @staticmethod
    def declaration(
        shapes: Mapping[str, tuple[int, ...]],
        as_changes: bool,
        kinds: int,
        extras: Mapping[str, tuple[int, ...]] | None = None,
        *,
        judged: bool = False,
    ) -> Declaration:
        """Declare the answer to a training task.

        Parameters
        ----------
        shapes : parameter key -> shape, of the layers that the task asks for.
        as_changes : they travel as int8 changes, each array with its scale.
        kinds : kinds of evidence whose scores are sketched.
        extras : name -> shape, of the other arrays that it asks for; int8 as the layers are.
        judged : whether the site alone has its model whole, so that it may score labelled rows.
        """
        due = {f"{MODEL}/{key}": shape for key, shape in shapes.items()}
        due |= {f"{EXTRA}/{name}": shape for name, shape in (extras or {}).items()}
        arrays: dict[str, ArraySpec] = {}
        for name, shape in due.items():
            arrays[name] = ArraySpec("int8" if as_changes else "float32", tuple(shape))
            if as_changes:
                arrays[name + SCALE] = ArraySpec("float32", (1,))
        counts = {_EXAMPLES: MetricSpec(int), _LOSS: MetricSpec(float), _STEPS: MetricSpec(int)}
        return Declaration(
            arrays=arrays,
            metrics={**counts, **sketch_specs(kinds), **(judged_specs(kinds) if judged else {})},
            identity={SITE: str, _ROUND: int},
        )

    def pack(self, task: Message) -> Message:
        """Build the reply to a task."""
        counts = {_EXAMPLES: self.examples, _LOSS: self.loss, _STEPS: self.steps}
        return pack_reply(
            task,
            {**counts, **sketch_metrics(self.sketches), **judged_metrics(self.judged)},
            {**prefixed(MODEL, self.layers), **prefixed(EXTRA, self.extras)},
            {SITE: self.site, _ROUND: self.server_round},
        )

    @classmethod
    def unpack(cls, message: Message, expected: Expected) -> TrainingReply:
        """Read a site's message, or raise ReplyError with the reason for refusing it."""
        changes = expected.base is not None
        declared = cls.declaration(
            expected.shapes, changes, expected.kinds, expected.extras, judged=expected.judged
        )
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
            extras=with_prefix(EXTRA, arrays),
            judged=read_judged(records.metrics, expected.kinds),
        )


def _check_identity(records: Records, expected: Expected) -> None:
    site, number = records.identity.get(SITE), records.identity.get(_ROUND)
    if (site, number) != (expected.site, expected.server_round) or type(number) is not int:
        raise ReplyError(
            f"reply says site {quoted(site)}, round {quoted(number)}; "
            f"expected {expected.site!r}, round {expected.server_round}"
        )
