import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict

from dtfl_app.errors import ReplyError
from dtfl_app.wire import (
    Ledger,
    array_bytes,
    digest,
    prefixed,
    receive,
    to_arrays,
    to_record,
    with_prefix,
)

MODEL = np.arange(6, dtype=np.float32).reshape(2, 3)
SCALE = np.array([1.0, 2.0])


def site() -> Context:
    return Context(1, 7, {}, RecordDict(), {})


def wanted(model: np.ndarray = MODEL, scale: np.ndarray = SCALE):
    return {"model/w": model, "scaler/scale": scale}


def test_arrays_survive_the_way_there_and_back():
    arrays = {
        "b": MODEL,
        "a": SCALE,
        "turned": MODEL.T,
        "small": np.array([-3, 7], dtype=np.int8),
        "empty": np.zeros((0, 2), dtype=np.float32),
    }

    back = to_arrays(to_record(arrays))

    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(back[name], array)


def test_bytes_are_elements_times_their_size():
    """6 float32, 2 float64, 5 int8 and nothing: 24 + 16 + 5."""
    record = to_record(
        {"a": MODEL, "b": SCALE, "c": np.zeros(5, np.int8), "d": np.zeros((0, 9), np.float32)}
    )

    assert array_bytes(record) == 45
    assert array_bytes(to_record({})) == 0


def test_prefixes_go_on_and_off():
    arrays = {**prefixed("model", {"w": MODEL}), **prefixed("scaler", {"w": SCALE})}

    assert list(arrays) == ["model/w", "scaler/w"]
    assert with_prefix("model", arrays)["w"] is MODEL
    assert with_prefix("mod", arrays) == {}


@pytest.mark.parametrize(
    "other",
    [
        MODEL.astype(np.float64),
        MODEL.view(np.int32),
        MODEL.astype(">f4"),
        MODEL.reshape(3, 2),
        MODEL.ravel(),
        MODEL + np.float32(1e-6),
    ],
    ids=["float64", "same bytes as int32", "byte order", "shape", "flat", "last bit"],
)
def test_a_digest_tells_type_shape_and_content_apart(other):
    assert digest(other) != digest(MODEL)


def test_a_digest_does_not_depend_on_the_memory_layout():
    assert digest(np.asfortranarray(MODEL)) == digest(MODEL.copy()) == digest(MODEL)
    assert len(digest(MODEL)) == 16


def test_what_is_kept_travels_once_and_the_rest_every_time():
    ledger, context = Ledger(), site()

    travelled = []
    for _ in range(3):
        record, listing = ledger.pack(7, wanted(), keep=["scaler/scale"])
        travelled.append(list(record))
        arrays = receive(record, listing, context)
        np.testing.assert_array_equal(arrays["model/w"], MODEL)
        np.testing.assert_array_equal(arrays["scaler/scale"], SCALE)

    assert travelled == [["model/w", "scaler/scale"], ["model/w"], ["model/w"]]


def test_a_kept_array_that_changed_travels_again():
    ledger, context = Ledger(), site()
    receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)

    record, listing = ledger.pack(7, wanted(scale=SCALE + 1), keep=["scaler/scale"])

    assert "scaler/scale" in record
    assert receive(record, listing, context)["scaler/scale"].tolist() == [2.0, 3.0]


def test_every_node_is_sent_what_it_lacks_itself():
    ledger = Ledger()
    ledger.pack(7, wanted(), keep=["scaler/scale"])

    record, _ = ledger.pack(8, wanted(), keep=["scaler/scale"])

    assert "scaler/scale" in record


def test_what_is_not_to_be_kept_is_not_held():
    ledger, context = Ledger(), site()
    receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)

    held = context.state.array_records["held-arrays"]

    assert list(held) == ["scaler/scale"]


def test_a_site_that_lost_its_state_refuses_and_gets_everything_after_forget():
    ledger, context = Ledger(), site()
    receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    context.state.clear()

    with pytest.raises(ReplyError, match=r"'scaler/scale' was neither sent nor held"):
        receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    ledger.forget(7)
    record, listing = ledger.pack(7, wanted(), keep=["scaler/scale"])

    assert list(record) == ["model/w", "scaler/scale"]
    assert receive(record, listing, context)["scaler/scale"].tolist() == SCALE.tolist()


def test_a_site_that_holds_another_version_refuses():
    ledger, context = Ledger(), site()
    receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    context.state["held-arrays"] = to_record({"scaler/scale": SCALE + 5})

    with pytest.raises(ReplyError, match="in the wanted version"):
        receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)


def test_an_array_damaged_on_the_way_is_refused():
    record, listing = Ledger().pack(7, wanted(), keep=["scaler/scale"])
    record["scaler/scale"] = Array(SCALE * 2)

    with pytest.raises(ReplyError, match="in the wanted version"):
        receive(record, listing, site())


def test_a_refused_task_leaves_what_the_site_holds():
    ledger, context = Ledger(), site()
    receive(*ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    missing = ConfigRecord({"array-names": ["model/w"], "array-digests": [""]})

    with pytest.raises(ReplyError, match="'model/w' was neither sent nor held"):
        receive(ArrayRecord(), missing, context)

    assert list(context.state.array_records["held-arrays"]) == ["scaler/scale"]


def test_forgetting_a_node_that_was_never_known_is_fine():
    Ledger().forget(99)


def test_bytes_that_are_no_array_are_refused():
    broken = ArrayRecord({"w": Array("float32", (2,), "numpy.ndarray", b"junk")})

    with pytest.raises(ReplyError, match=r"arrays cannot be read: 'w': .*; expected NumPy arrays"):
        to_arrays(broken)
