"""Every way in which a site's reply can be wrong but for its layers, on real Flower messages."""

import math
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord
from hypothesis import given
from hypothesis import strategies as st

from dtfl_app.core.errors import ReplyError
from dtfl_app.messages.admission import admit, admit_calibration
from dtfl_app.messages.calibration import EXAMPLES_LIMIT
from dtfl_app.messages.training import Expected
from tests.support.replies import (
    BIAS,
    CHANGED,
    EXPECTED,
    LEVELS,
    WEIGHT,
    answer,
    changes,
    closing,
    header,
    raw,
    task,
)


def test_a_good_reply_is_admitted_with_all_it_says():
    """Payload: 6 weights and 2 biases of 4 bytes each."""
    reply = admit(answer(), EXPECTED)

    assert (reply.site, reply.examples, reply.loss, reply.steps) == ("site-1", 100, 0.25, 8)
    np.testing.assert_array_equal(reply.params["l.weight"], WEIGHT)
    np.testing.assert_array_equal(reply.params["l.bias"], BIAS)
    assert reply.payload == (6 + 2) * 4
    assert reply.sketches[0].count == 40
    assert reply.sketches[0].values.tolist() == np.linspace(0, 1, LEVELS).tolist()


def test_a_site_without_calibration_rows_is_admitted():
    reply = admit(answer(calibration_counts=[0], calibration_scores=None), EXPECTED)

    assert (reply.sketches[0].count, len(reply.sketches[0].values)) == (0, 0)


@pytest.mark.parametrize("value", [1, EXAMPLES_LIMIT])
def test_any_possible_number_of_rows_is_admitted(value):
    assert admit(answer(num_examples=value), EXPECTED).examples == value


def test_an_integer_loss_is_a_number():
    assert admit(answer(loss=2), EXPECTED).loss == 2.0


def test_a_site_that_failed_is_refused_with_its_own_words():
    failed = Message(Error(code=2, reason="disk full"), reply_to=task())

    with pytest.raises(ReplyError, match="site failed: disk full"):
        admit(failed, EXPECTED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"site": "site-2"}, "says site 'site-2', round 4; expected 'site-1', round 4"),
        ({"site": None}, "says site None"),
        ({"site": 1}, "says site 1"),
        ({"site": b"site-1"}, "says site b'site-1'"),
        ({"server_round": 4.0}, "round 4.0; expected 'site-1', round 4"),
        ({"server_round": "4"}, "round '4'"),
        ({"server_round": 3}, "round 3; expected 'site-1', round 4"),
        ({"server_round": None}, "round None"),
    ],
)
def test_a_reply_of_another_site_or_round_is_refused(change, reason):
    with pytest.raises(ReplyError, match=reason):
        admit(answer(**change), EXPECTED)


@pytest.mark.parametrize("record", ["arrays", "metrics", "identity"])
def test_a_missing_record_is_refused(record):
    with pytest.raises(ReplyError, match=f"record '{record}' is missing"):
        admit(answer(**{record: None}), EXPECTED)


@pytest.mark.parametrize(
    ("record", "other"),
    [
        ("arrays", MetricRecord({"a": 1})),
        ("metrics", ConfigRecord({"num-examples": 1})),
        ("identity", MetricRecord({"server-round": 4})),
    ],
)
def test_a_record_of_another_kind_is_refused(record, other):
    with pytest.raises(ReplyError, match=f"record '{record}' is missing"):
        admit(answer(**{record: other}), EXPECTED)


@pytest.mark.parametrize(
    "value", [None, 0, -1, -1000, EXAMPLES_LIMIT + 1, 10**9, math.nan, 100.0, [100]]
)
def test_an_impossible_number_of_rows_is_refused(value):
    with pytest.raises(ReplyError, match=r"metric 'num-examples' is .*, expected an integer in"):
        admit(answer(num_examples=value), EXPECTED)


def test_true_is_no_number_of_rows():
    """A metric record takes no bool; here it is put past the record's own check."""
    message = answer()
    message.content["metrics"].__dict__["_data"]["num-examples"] = True

    with pytest.raises(ReplyError, match="'num-examples' is True"):
        admit(message, EXPECTED)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, [0.25]])
def test_a_loss_that_is_no_finite_number_is_refused(value):
    with pytest.raises(ReplyError, match=r"metric 'loss' is .*, expected a finite number"):
        admit(answer(loss=value), EXPECTED)


@pytest.mark.parametrize("value", [None, -1, 1.5, EXAMPLES_LIMIT + 1])
def test_an_impossible_number_of_steps_is_refused(value):
    with pytest.raises(ReplyError, match="metric 'steps'"):
        admit(answer(steps=value), EXPECTED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"calibration_counts": None}, "calibration-counts is None, expected a list of 1"),
        ({"calibration_counts": 40}, "calibration-counts is 40, expected a list of 1"),
        ({"calibration_counts": [40, 40]}, r"calibration-counts is \[40, 40\], expected a list"),
        ({"calibration_counts": [-1]}, r"calibration-counts is \[-1\], expected integers"),
        ({"calibration_counts": [4.0]}, r"calibration-counts is \[4.0\], expected integers"),
        ({"calibration_scores": None}, f"must be 1 times {LEVELS} numbers"),
        ({"calibration_scores": 0.5}, f"must be 1 times {LEVELS} numbers"),
        ({"calibration_scores": [0.5]}, f"must be 1 times {LEVELS} numbers"),
        ({"calibration_scores": [0.5] * (LEVELS + 1)}, f"must be 1 times {LEVELS} numbers"),
        ({"calibration_scores": [0.0] * (LEVELS - 1) + [math.nan]}, "must be finite numbers"),
        ({"calibration_scores": [0.0] * (LEVELS - 1) + [math.inf]}, "must be finite numbers"),
        ({"calibration_scores": [1.0] + [0.0] * (LEVELS - 1)}, "must be ascending"),
    ],
)
def test_a_malformed_sketch_is_refused(change, reason):
    with pytest.raises(ReplyError, match=reason):
        admit(answer(**change), EXPECTED)


def test_equal_calibration_scores_are_ascending():
    (sketch,) = admit_calibration(closing(calibration_scores=[2.0] * LEVELS), kinds=1).sketches

    assert sketch.values.tolist() == [2.0] * LEVELS


def test_each_kind_of_evidence_has_its_sketch_and_an_empty_one_takes_no_scores():
    scores = [*np.linspace(0, 1, LEVELS), *np.linspace(5, 6, LEVELS)]
    message = closing(calibration_counts=[40, 0, 7], calibration_scores=scores)

    first, empty, last = admit_calibration(message, kinds=3).sketches

    assert (first.count, empty.count, last.count) == (40, 0, 7)
    assert first.values[-1] == 1.0
    assert empty.values.size == 0
    assert last.values[0] == 5.0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (lambda: Message(Error(code=2, reason="disk full"), reply_to=task()), "failed: disk full"),
        (lambda: closing(metrics=None), "record 'metrics' is missing"),
        (lambda: closing(metrics=ConfigRecord({"a": 1})), "record 'metrics' is missing"),
        (lambda: closing(loss=0.25), "metrics not asked for: 'loss'"),
        (answer, "records not asked for: 'arrays', 'identity'"),
        (lambda: closing(calibration_scores=[math.nan] * LEVELS), "must be finite numbers"),
    ],
)
def test_a_bad_answer_to_the_closing_query_is_refused(message, reason):
    with pytest.raises(ReplyError, match=reason):
        admit_calibration(message(), kinds=1)


# --- nothing but what is declared ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"rows": ArrayRecord({"rows": Array(WEIGHT)})},
            "records not asked for: 'rows'; a reply holds nothing else",
        ),
        ({"more": MetricRecord({"a": 1}), "other": ConfigRecord({"a": 1})}, "'more', 'other'; a"),
    ],
)
def test_a_record_that_nobody_asked_for_is_refused(changes, reason):
    message = answer()
    for name, record in changes.items():
        message.content[name] = record

    with pytest.raises(ReplyError, match=reason):
        admit(message, EXPECTED)


def test_a_metric_that_nobody_asked_for_is_refused():
    message = answer()
    message.content["metrics"]["temperature"] = 21.5

    with pytest.raises(ReplyError, match="metrics not asked for: 'temperature'"):
        admit(message, EXPECTED)


def test_an_entry_of_the_identity_that_nobody_asked_for_is_refused():
    message = answer()
    message.content["identity"]["note"] = "the readings: 1.5, 2.5"

    with pytest.raises(ReplyError, match="identity entries not asked for: 'note'"):
        admit(message, EXPECTED)


@pytest.mark.parametrize("key", ["loss", "steps"])
def test_true_is_no_number(key):
    message = answer()
    message.content["metrics"].__dict__["_data"][key] = True

    with pytest.raises(ReplyError, match=f"metric '{key}' is True"):
        admit(message, EXPECTED)


def test_true_is_no_first_round():
    """True == 1 in Python."""
    expected = Expected("site-1", 1, EXPECTED.shapes)

    assert admit(answer(server_round=1), expected).site == "site-1"
    with pytest.raises(ReplyError, match="round True; expected 'site-1', round 1"):
        admit(answer(server_round=True), expected)


# --- what a site may write into the server's log -------------------------------------------------

EVIL = "x\n2026-01-01 dtfl: all is well\r\x1b[2J\u202e" + "A" * 10**6


def hostile_entry(record, key):
    message = answer()
    message.content[record].__dict__["_data"][key] = EVIL
    return message


def hostile_name(record, value):
    message = answer()
    for number in range(5):
        message.content[record].__dict__["_data"][f"{number}{EVIL}"] = value
    return message


@pytest.mark.parametrize(
    "message",
    [
        lambda: Message(Error(code=2, reason=EVIL), reply_to=task()),
        lambda: hostile_entry("identity", "site"),
        lambda: hostile_entry("identity", "server-round"),
        lambda: hostile_entry("metrics", "num-examples"),
        lambda: hostile_entry("metrics", "loss"),
        lambda: hostile_entry("metrics", "calibration-counts"),
        lambda: hostile_name("arrays", Array(BIAS)),
        lambda: hostile_name("metrics", 1),
        lambda: hostile_name("identity", 1),
        lambda: answer(calibration_counts=list(range(10**6))),
        lambda: answer(l__bias=Array(EVIL, (2,), "numpy.ndarray", b"")),
        lambda: answer(l__bias=Array("float32", (2,), EVIL, b"")),
        lambda: answer(l__bias=Array("float32", (7,) * 10**5, "numpy.ndarray", b"")),
    ],
)
def test_a_reason_is_one_short_printable_line_whatever_a_site_writes(message):
    with pytest.raises(ReplyError) as caught:
        admit(message(), EXPECTED)

    reason = str(caught.value)
    assert len(reason) < 500
    assert reason.isprintable()


def test_an_error_without_a_reason_is_a_failure_all_the_same():
    with pytest.raises(ReplyError, match="site failed: no reason given"):
        admit(Message(Error(code=1), reply_to=task()), EXPECTED)


@given(
    value=st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.lists(st.floats(), max_size=40)
    | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
    key=st.sampled_from(["num-examples", "loss", "steps", "calibration-counts"]),
)
def test_whatever_a_metric_holds_it_is_refused_or_sound(value, key):
    try:
        reply = admit(answer(**{key.replace("-", "_"): value}), EXPECTED)
    except ReplyError as error:
        assert key in str(error) or "calibration-scores" in str(error)
    else:
        assert 1 <= reply.examples <= EXAMPLES_LIMIT
        assert math.isfinite(reply.loss)
        assert reply.steps >= 0


EXTRA = replace(EXPECTED, extras={"control": (2,)})
EXTRA_CHANGED = replace(CHANGED, extras={"control": (2,)})


def with_extras(message: Message, **arrays) -> Message:
    for name, array in arrays.items():
        message.content["arrays"][f"extra/{name.replace('__', ':')}"] = (
            Array(array) if isinstance(array, np.ndarray) else array
        )
    return message


def test_extra_arrays_are_read_and_counted():
    reply = admit(with_extras(answer(), control=BIAS), EXTRA)

    assert reply.extras["control"].tolist() == BIAS.tolist()
    assert reply.payload == 8 * 4 + 2 * 4


def test_extra_arrays_in_8_bits_are_steps_from_0():
    sent = {"control": np.array([3, -4], np.int8), "control__scale": np.array([0.5], np.float32)}

    reply = admit(with_extras(changes(), **sent), EXTRA_CHANGED)

    assert reply.extras["control"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "missing: 'extra/control'"),
        ({"control": BIAS, "more": BIAS}, "not asked for: 'extra/more'"),
        (
            {"control": np.ones(3, np.float32)},
            "array 'extra/control' is float32 .*expected float32",
        ),
        ({"control": np.ones(2)}, "array 'extra/control' is float64 .*expected float32"),
        ({"control": np.array([np.nan, 0], np.float32)}, "extra array 'control' holds values that"),
        ({"control": np.array([1e30, 0], np.float32)}, "extra array 'control' holds values that"),
        ({"control": raw(header((2**40,)))}, "'extra/control' .*expected"),
    ],
)
def test_hostile_extra_arrays_are_refused_like_layers(arrays, reason):
    with pytest.raises(ReplyError, match=reason):
        admit(with_extras(answer(), **arrays), EXTRA)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_of_an_extra_array_must_be_one(scale):
    sent = {"control": np.array([3, -4], np.int8), "control__scale": np.array([scale], np.float32)}

    with pytest.raises(ReplyError, match="scale of extra array 'control' is"):
        admit(with_extras(changes(), **sent), EXTRA_CHANGED)
