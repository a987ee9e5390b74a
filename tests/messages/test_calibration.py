"""The closing query and its answer, from one end of the wire to the other."""

import numpy as np

from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.messages.calibration import CalibrationReply, CalibrationTask
from dtfl_app.messages.wire import Ledger, receive
from dtfl_app.testing.grid import InProcessGrid, identify

LEVELS = len(SKETCH_LEVELS)
TASK = CalibrationTask("north", 4, "ab12")


def sent():
    identify()
    return TASK.pack(7, Ledger().pack(7, {"model/w": np.ones(2, np.float32)}, keep=[]))


def test_a_site_reads_the_query_and_the_model_that_were_packed():
    message = sent()
    context = next(iter(InProcessGrid(1).contexts.values()))

    assert CalibrationTask.unpack(message) == TASK
    assert receive(message.content, context)["model/w"].tolist() == [1.0, 1.0]
    assert message.metadata.message_type == "query.calibrate"


def test_the_server_reads_a_sketch_per_kind_of_evidence_also_an_empty_one():
    sketches = (
        Sketch(40, np.linspace(0, 1, LEVELS)),
        Sketch(0, np.zeros(0)),
        Sketch(7, np.linspace(5, 6, LEVELS)),
    )

    read = CalibrationReply.unpack(CalibrationReply(sketches).pack(sent()), kinds=3).sketches

    assert [sketch.count for sketch in read] == [40, 0, 7]
    for one, other in zip(read, sketches, strict=True):
        assert one.values.tolist() == other.values.tolist()


def test_a_calibration_reply_is_a_sketch_per_kind_and_nothing_else():
    declared = CalibrationReply.declaration(kinds=2)

    assert (declared.arrays, declared.identity) == (None, None)
    assert set(declared.metrics) == {"calibration-counts", "calibration-scores"}
