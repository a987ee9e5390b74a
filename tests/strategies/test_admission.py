"""Every way in which a site's reply can be wrong, on real Flower messages."""

import io
import math

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)

from dtfl_app.detector.calibration import SKETCH_LEVELS
from dtfl_app.errors import ReplyError
from dtfl_app.strategies.admission import EXAMPLES_LIMIT, Expected, admit, admit_sketches
from tests.support.in_process import identify

WEIGHT = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=np.float32)
BIAS = np.array([0.5, -0.5], dtype=np.float32)
LEVELS = len(SKETCH_LEVELS)
EXPECTED = Expected("site-1", 4, {"l.weight": (2, 3), "l.bias": (2,)})


def task() -> Message:
    identify()
    return Message(RecordDict({}), message_type="train", dst_node_id=77)


def content(**changes) -> RecordDict:
    """A good reply's records; `changes` replace single arrays, metrics or whole records.

    None takes the entry out; keys are written with _ for - and __ for ".".
    """
    arrays = {"model/l.weight": Array(WEIGHT), "model/l.bias": Array(BIAS)}
    metrics = {
        "num-examples": 100,
        "loss": 0.25,
        "steps": 8,
        "calibration-counts": [40],
        "calibration-scores": np.linspace(0, 1, LEVELS).tolist(),
    }
    identity = {"site": "site-1", "server-round": 4}
    records: dict = {}
    for key, value in changes.items():
        name = key.replace("__", ".").replace("_", "-")
        home = next((h for h in (metrics, identity) if name in h), None)
        if name in ("arrays", "metrics", "identity"):
            records[name] = value
        elif home is not None:
            home[name] = value
        else:
            arrays[f"model/{name}"] = Array(value) if isinstance(value, np.ndarray) else value
    made = {
        "arrays": ArrayRecord({k: v for k, v in arrays.items() if v is not None}),
        "metrics": MetricRecord({k: v for k, v in metrics.items() if v is not None}),
        "identity": ConfigRecord({k: v for k, v in identity.items() if v is not None}),
    }
    return RecordDict({k: v for k, v in {**made, **records}.items() if v is not None})


def answer(**changes) -> Message:
    return Message(content(**changes), reply_to=task())


def raw(data: bytes, dtype: str = "float32", shape: tuple[int, ...] = (2,)) -> Array:
    """An array as a hostile site may send it: nothing says that the parts belong together."""
    return Array(dtype=dtype, shape=shape, stype="numpy.ndarray", data=data)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: tuple[int, ...]) -> bytes:
    """The start of a file that announces an array of this shape, and four bytes of it."""
    file = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + bytes(4)


def test_a_good_reply_is_admitted_with_all_it_says():
    """Payload: 6 weights and 2 biases of 4 bytes each."""
    reply = admit(answer(), EXPECTED)

    assert (reply.site, reply.examples, reply.loss, reply.steps) == ("site-1", 100, 0.25, 8)
    np.testing.assert_array_equal(reply.params["l.weight"], WEIGHT)
    np.testing.assert_array_equal(reply.params["l.bias"], BIAS)
    assert reply.payload == (6 + 2) * 4
    assert reply.sketches[0].count == 40
    assert reply.sketches[0].values.tolist() == np.linspace(0, 1, LEVELS).tolist()


def test_large_weights_are_admitted():
    weight = WEIGHT.copy()
    weight[0, 0] = -1e6

    assert admit(answer(l__weight=weight), EXPECTED).params["l.weight"][0, 0] == -1e6


def test_layers_come_in_the_order_the_server_expects():
    arrays = ArrayRecord({"model/l.bias": Array(BIAS), "model/l.weight": Array(WEIGHT)})

    assert list(admit(answer(arrays=arrays), EXPECTED).params) == ["l.weight", "l.bias"]


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
    ("change", "got"),
    [
        ({"l__bias": BIAS[None, :]}, r"float32 \(1, 2\), expected float32 \(2,\)"),
        ({"l__bias": BIAS[:, None]}, r"float32 \(2, 1\)"),
        ({"l__bias": BIAS[:1]}, r"float32 \(1,\)"),
        ({"l__weight": WEIGHT.T}, r"float32 \(3, 2\), expected float32 \(2, 3\)"),
        ({"l__bias": BIAS.astype(np.float64)}, r"float64 \(2,\), expected float32"),
        ({"l__bias": BIAS.astype(np.int32)}, r"int32 \(2,\)"),
        ({"l__bias": BIAS.astype(np.float16)}, r"float16 \(2,\)"),
        ({"l__bias": BIAS.astype(">f4")}, r">f4 \(2,\)"),
        ({"l__bias": np.zeros(0, np.float32)}, r"float32 \(0,\)"),
    ],
)
def test_a_layer_of_another_shape_or_type_is_refused(change, got):
    """(1, 2) would broadcast against (2,) and ruin the model unnoticed."""
    with pytest.raises(ReplyError, match=rf"layer 'l\.\w+' is {got}"):
        admit(answer(**change), EXPECTED)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30, 1.01e6])
def test_a_layer_that_would_ruin_the_mean_is_refused(value):
    weight = WEIGHT.copy()
    weight[1, 2] = value

    with pytest.raises(ReplyError, match=r"layer 'l\.weight' holds values that are not"):
        admit(answer(l__weight=weight), EXPECTED)


@pytest.mark.parametrize(
    ("change", "listed"),
    [
        ({"l__bias": None}, r"\['model/l.weight'\], expected \['model/l.bias', 'model/l.weight'\]"),
        ({"m__bias": BIAS}, r"\['model/l.bias', 'model/l.weight', 'model/m.bias'\], expected"),
        ({"arrays": ArrayRecord()}, r"\[\], expected"),
        (
            {"arrays": ArrayRecord({"l.weight": Array(WEIGHT), "l.bias": Array(BIAS)})},
            r"\['l.bias'",
        ),
    ],
)
def test_missing_and_extra_layers_are_refused(change, listed):
    with pytest.raises(ReplyError, match=f"layers are {listed}"):
        admit(answer(**change), EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an array",
        npy(BIAS)[:-3],
        npy(BIAS)[:20],
        npy(np.array([1, "x"], dtype=object)),
        b"PK\x03\x04 what NumPy takes for an archive",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((( \n",
        header((10**14,)),
        header((10**30,)),
        header((-1,)),
    ],
    ids=["empty", "text", "cut", "cut-header", "pickle", "zip", "syntax", "vast", "huge", "minus"],
)
def test_bytes_that_are_no_array_are_refused(data):
    with pytest.raises(ReplyError, match="arrays cannot be read"):
        admit(answer(l__bias=raw(data)), EXPECTED)


def test_an_archive_instead_of_an_array_is_refused():
    file = io.BytesIO()
    np.savez(file, bias=BIAS)

    with pytest.raises(ReplyError, match=r"'model/l\.bias' is an archive"):
        admit(answer(l__bias=raw(file.getvalue())), EXPECTED)


def test_another_serialisation_is_refused():
    other = Array(dtype="float32", shape=(2,), stype="pickle", data=npy(BIAS))

    with pytest.raises(ReplyError, match="arrays cannot be read"):
        admit(answer(l__bias=other), EXPECTED)


@pytest.mark.parametrize(
    "label", [{"dtype": "nonsense"}, {"shape": (10**12,)}, {"shape": (-5,)}, {"dtype": "float64"}]
)
def test_payload_is_what_travelled_whatever_the_array_calls_itself(label):
    """The bytes hold two float32; their label is the site's to write."""
    reply = admit(answer(l__bias=raw(npy(BIAS), **label)), EXPECTED)

    assert reply.payload == (6 + 2) * 4


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
        ({"calibration_scores": [0.0] * (LEVELS - 1) + [math.nan]}, "finite and ascending"),
        ({"calibration_scores": [0.0] * (LEVELS - 1) + [math.inf]}, "finite and ascending"),
        ({"calibration_scores": [1.0] + [0.0] * (LEVELS - 1)}, "finite and ascending"),
    ],
)
def test_a_malformed_sketch_is_refused(change, reason):
    with pytest.raises(ReplyError, match=reason):
        admit(answer(**change), EXPECTED)


def test_equal_calibration_scores_are_ascending():
    (sketch,) = admit_sketches(answer(calibration_scores=[2.0] * LEVELS), kinds=1)

    assert sketch.values.tolist() == [2.0] * LEVELS


def test_each_kind_of_evidence_has_its_sketch_and_an_empty_one_takes_no_scores():
    scores = [*np.linspace(0, 1, LEVELS), *np.linspace(5, 6, LEVELS)]
    message = answer(calibration_counts=[40, 0, 7], calibration_scores=scores)

    first, empty, last = admit_sketches(message, kinds=3)

    assert (first.count, empty.count, last.count) == (40, 0, 7)
    assert first.values[-1] == 1.0
    assert empty.values.size == 0
    assert last.values[0] == 5.0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (lambda: Message(Error(code=2, reason="disk full"), reply_to=task()), "failed: disk full"),
        (lambda: answer(metrics=None), "record 'metrics' is missing"),
        (lambda: answer(metrics=ConfigRecord({"a": 1})), "record 'metrics' is missing"),
        (lambda: answer(calibration_scores=[math.nan] * LEVELS), "finite and ascending"),
    ],
)
def test_a_bad_answer_to_the_closing_query_is_refused(message, reason):
    with pytest.raises(ReplyError, match=reason):
        admit_sketches(message(), kinds=1)


# --- layers as int8 changes ----------------------------------------------------------------------

BASE = {"l.weight": WEIGHT, "l.bias": BIAS}
CHANGED = Expected("site-1", 4, {"l.weight": (2, 3), "l.bias": (2,)}, BASE)
STEPS = np.array([[127, -127, 0], [1, 2, 3]], dtype=np.int8)
ONE = np.array([1.0], dtype=np.float32)


def changes(**other):
    """A reply of int8 changes; both scales are 0.5 and the bias does not change."""
    arrays = {
        "l__weight": STEPS,
        "l__weight:scale": ONE / 2,
        "l__bias": np.zeros(2, dtype=np.int8),
        "l__bias:scale": ONE / 2,
    }
    return answer(**{**arrays, **other})


def test_changes_are_added_to_what_the_site_received():
    """WEIGHT + 0.5 STEPS: 1 + 63.5, 2 - 63.5, 3 and 4.5, 6, 7.5; 8 int8 and 2 float32 travelled."""
    reply = admit(changes(), CHANGED)

    assert reply.params["l.weight"].tolist() == [[64.5, -61.5, 3.0], [4.5, 6.0, 7.5]]
    assert reply.params["l.bias"].tolist() == [0.5, -0.5]
    assert reply.params["l.weight"].dtype == np.float32
    assert reply.payload == 8 + 2 * 4


@pytest.mark.parametrize("scale", [0.0, -1.0, -0.0, math.nan, math.inf, -math.inf], ids=str)
def test_a_scale_that_is_not_positive_and_finite_is_refused(scale):
    with pytest.raises(ReplyError, match=r"scale of layer 'l\.weight' is .*, expected a positive"):
        admit(changes(**{"l__weight:scale": ONE * np.float32(scale)}), CHANGED)


@pytest.mark.parametrize(
    "scale",
    [ONE.astype(np.float64), np.ones(2, np.float32), np.array(1, np.float32), ONE.reshape(1, 1)],
    ids=["float64", "two", "scalar", "matrix"],
)
def test_a_scale_of_another_form_is_refused(scale):
    with pytest.raises(
        ReplyError, match=r"scale of layer 'l\.bias' is .*, expected float32 \(1,\)"
    ):
        admit(changes(**{"l__bias:scale": scale}), CHANGED)


@pytest.mark.parametrize(
    "steps",
    [WEIGHT, STEPS.astype(np.int16), STEPS.astype(np.uint8), STEPS.T, STEPS[:1], STEPS.ravel()],
    ids=["float32", "int16", "uint8", "turned", "one row", "flat"],
)
def test_changes_of_another_type_or_shape_are_refused(steps):
    with pytest.raises(ReplyError, match=r"layer 'l\.weight' is .*, expected int8 \(2, 3\)"):
        admit(changes(l__weight=steps), CHANGED)


def test_a_change_beyond_any_weight_is_refused():
    """127 steps of 1e4 are finite and beyond 1e6; 127 steps of 1e38 are not even finite."""
    for scale in (1e4, 1e38):
        with pytest.raises(
            ReplyError, match=r"layer 'l\.weight' holds values that are not finite or"
        ):
            admit(changes(**{"l__weight:scale": ONE * np.float32(scale)}), CHANGED)


@pytest.mark.parametrize("missing", ["l__weight", "l__bias:scale"])
def test_changes_without_their_scale_and_scales_without_changes_are_refused(missing):
    with pytest.raises(ReplyError, match="layers are "):
        admit(changes(**{missing: None}), CHANGED)


def test_whole_layers_are_refused_where_changes_are_expected_and_the_other_way_round():
    with pytest.raises(ReplyError, match=r"layers are .*, expected .*:scale"):
        admit(answer(), CHANGED)
    with pytest.raises(ReplyError, match=r"layers are .*:scale"):
        admit(changes(), EXPECTED)
