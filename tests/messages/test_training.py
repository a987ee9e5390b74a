"""A training task and its reply, from one end of the wire to the other."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from dtfl_app.core.errors import ConfigError, ReplyError
from dtfl_app.core.settings import read_settings, to_mapping
from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.messages.declaration import ArraySpec, MetricSpec
from dtfl_app.messages.quantise import quantise
from dtfl_app.messages.training import (
    Expected,
    ProximalTerm,
    TeacherTerm,
    TrainingReply,
    TrainingTask,
)
from dtfl_app.messages.wire import Ledger
from dtfl_app.testing.grid import identify

LAYERS = {"w": np.array([[1.0, 2.0]], np.float32), "b": np.array([0.5], np.float32)}
SHAPES = {"w": (1, 2), "b": (1,)}
SKETCH = Sketch(40, np.linspace(0.0, 1.0, len(SKETCH_LEVELS)))
TASK = TrainingTask("north", 4, "ab12", ("w", "b"), "cwa/4", "cwa/3", {"proximal.mu": 0.5})
REPLY = TrainingReply("north", 4, LAYERS, examples=80, loss=0.25, steps=10, sketches=(SKETCH,))


def sent(task: TrainingTask = TASK) -> Message:
    identify()
    return task.pack(7, Ledger().pack(7, {}, keep=[]))


@pytest.mark.parametrize("task", [TASK, TrainingTask("north", 1, "", ())])
def test_a_site_reads_the_task_that_was_packed(task):
    message = sent(task)

    assert TrainingTask.unpack(message) == task
    assert (message.metadata.message_type, message.metadata.dst_node_id) == ("train", 7)


def test_what_does_not_apply_is_not_sent():
    """Neither a run to keep state of nor tags of int8 uploads."""
    message = sent(TrainingTask("north", 1, "", ("w",)))

    assert set(message.content.config_records["task"]) == {"site", "server-round", "upload"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("server-round", 4.0, "server-round is 4.0, expected int"),
        ("server-round", True, "server-round is True, expected int"),
        ("site", None, "site is None, expected str"),
        ("run", 12, "run is 12, expected str"),
        ("upload", None, "upload is None, expected list"),
        ("upload", "w", "upload is 'w', expected list"),
        ("upload", [1], r"upload is \[1\], expected names"),
        ("state-from", 4, "state-from is 4, expected str"),
        ("upload-tag", 4, "upload-tag is 4, expected str"),
    ],
)
def test_a_task_that_no_server_of_this_version_sends_is_refused(key, value, said):
    message = sent()
    entries = {**message.content.config_records["task"], key: value}
    told = {name: entry for name, entry in entries.items() if entry is not None}
    message.content["task"] = ConfigRecord(told)

    with pytest.raises(ReplyError, match=f"the task's {said}"):
        TrainingTask.unpack(message)


def test_a_message_without_a_task_is_refused():
    message = sent()
    del message.content["task"]

    with pytest.raises(ReplyError, match="the task's site is None"):
        TrainingTask.unpack(message)


# --- what a method tells its sites ----------------------------------------------------------------


def test_each_part_of_a_method_s_settings_is_read_by_its_own_class():
    told = {**to_mapping(ProximalTerm(0.5)), **to_mapping(TeacherTerm(0.25, 3.0))}

    settings = TrainingTask.unpack(sent(replace(TASK, settings=told))).settings

    assert read_settings(ProximalTerm, settings) == ProximalTerm(0.5)
    assert read_settings(TeacherTerm, settings) == TeacherTerm(0.25, 3.0)


def test_a_part_that_no_method_speaks_of_changes_no_loss():
    settings = TrainingTask.unpack(sent(replace(TASK, settings={}))).settings

    assert read_settings(ProximalTerm, settings).mu == 0.0
    assert read_settings(TeacherTerm, settings).weight == 0.0


def test_a_method_s_setting_out_of_range_is_refused_at_the_site():
    settings = TrainingTask.unpack(sent(replace(TASK, settings={"teacher.weight": 1.5}))).settings

    with pytest.raises(
        ConfigError, match=r"teacher\.weight = 1\.5; expected at least 0 and at most 1"
    ):
        read_settings(TeacherTerm, settings)


def test_a_method_s_setting_cannot_take_the_place_of_the_task_s_own():
    task = replace(TASK, settings={"site": "south", "upload": ["b"]})

    assert TrainingTask.unpack(sent(task)) == task


# --- the reply ------------------------------------------------------------------------------------


def test_the_server_reads_the_reply_that_was_packed():
    read = TrainingReply.unpack(REPLY.pack(sent()), Expected("north", 4, SHAPES))

    assert list(read.layers) == ["w", "b"]
    assert all(np.array_equal(read.layers[key], LAYERS[key]) for key in LAYERS)
    assert (read.site, read.server_round) == ("north", 4)
    assert (read.examples, read.loss, read.steps) == (80, 0.25, 10)
    assert read.sketches[0].count == 40
    assert read.sketches[0].values.tolist() == SKETCH.values.tolist()


def test_changes_are_read_with_their_scales():
    reply = replace(REPLY, layers=quantise(LAYERS))

    read = TrainingReply.unpack(reply.pack(sent()), Expected("north", 4, SHAPES, LAYERS))

    assert read.layers["w"].tolist() == [[64, 127]]
    assert read.layers["w:scale"].tolist() == [np.float32(2 / 127)]


def test_a_training_reply_is_the_wanted_layers_three_counts_and_a_sketch():
    """32 order statistics for each of two kinds, of which one may have no scores."""
    declared = TrainingReply.declaration({"w": (3, 2)}, as_changes=False, kinds=2)

    assert declared.arrays == {"model/w": ArraySpec("float32", (3, 2))}
    assert declared.identity == {"site": str, "server-round": int}
    assert declared.metrics == {
        "num-examples": MetricSpec(int),
        "loss": MetricSpec(float),
        "steps": MetricSpec(int),
        "calibration-counts": MetricSpec(int, (2,)),
        "calibration-scores": MetricSpec(float, (32, 64), optional=True),
    }


def test_changes_are_declared_as_bytes_with_a_scale():
    declared = TrainingReply.declaration({"w": (3, 2)}, as_changes=True, kinds=1)

    assert declared.arrays == {
        "model/w": ArraySpec("int8", (3, 2)),
        "model/w:scale": ArraySpec("float32", (1,)),
    }
