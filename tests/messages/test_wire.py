import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict

from dtfl_app.core.errors import ReplyError
from dtfl_app.messages.wire import (
    Ledger,
    PackedTask,
    array_bytes,
    compress,
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


def unpack(packed: PackedTask, context: Context):
    return receive(packed.records(), context)


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
        packed = ledger.pack(7, wanted(), keep=["scaler/scale"])
        travelled.append(list(packed.arrays))
        arrays = unpack(packed, context)
        np.testing.assert_array_equal(arrays["model/w"], MODEL)
        np.testing.assert_array_equal(arrays["scaler/scale"], SCALE)

    assert travelled == [["model/w", "scaler/scale"], ["model/w"], ["model/w"]]


def test_a_kept_array_that_changed_travels_again():
    ledger, context = Ledger(), site()
    unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)

    packed = ledger.pack(7, wanted(scale=SCALE + 1), keep=["scaler/scale"])

    assert "scaler/scale" in packed.arrays
    assert unpack(packed, context)["scaler/scale"].tolist() == [2.0, 3.0]


def test_every_node_is_sent_what_it_lacks_itself():
    ledger = Ledger()
    ledger.pack(7, wanted(), keep=["scaler/scale"])

    packed = ledger.pack(8, wanted(), keep=["scaler/scale"])

    assert "scaler/scale" in packed.arrays


def test_what_is_not_to_be_kept_is_not_held():
    ledger, context = Ledger(), site()
    unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)

    held = context.state.array_records["held-arrays"]

    assert list(held) == ["scaler/scale"]


def test_a_site_that_lost_its_state_refuses_and_gets_everything_after_forget():
    ledger, context = Ledger(), site()
    unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    context.state.clear()

    with pytest.raises(ReplyError, match=r"'scaler/scale' was neither sent nor held"):
        unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    ledger.forget(7)
    packed = ledger.pack(7, wanted(), keep=["scaler/scale"])

    assert list(packed.arrays) == ["model/w", "scaler/scale"]
    assert unpack(packed, context)["scaler/scale"].tolist() == SCALE.tolist()


def test_a_site_that_holds_another_version_refuses():
    ledger, context = Ledger(), site()
    unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    context.state["held-arrays"] = to_record({"scaler/scale": SCALE + 5})

    with pytest.raises(ReplyError, match="in the wanted version"):
        unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)


def test_an_array_damaged_on_the_way_is_refused():
    packed = Ledger().pack(7, wanted(), keep=["scaler/scale"])
    packed.arrays["scaler/scale"] = Array(SCALE * 2)

    with pytest.raises(ReplyError, match="in the wanted version"):
        unpack(packed, site())


def test_a_refused_task_leaves_what_the_site_holds():
    ledger, context = Ledger(), site()
    unpack(ledger.pack(7, wanted(), keep=["scaler/scale"]), context)
    missing = ConfigRecord({"array-names": ["model/w"], "array-digests": [""], "array-changes": []})
    content = RecordDict({"arrays": ArrayRecord(), "listing": missing})

    with pytest.raises(ReplyError, match="'model/w' was neither sent nor held"):
        receive(content, context)

    assert list(context.state.array_records["held-arrays"]) == ["scaler/scale"]


def test_a_task_without_its_listing_is_refused():
    with pytest.raises(ReplyError, match="the task's array-names is None, expected a list"):
        receive(RecordDict({"arrays": ArrayRecord()}), site())


def test_forgetting_a_node_that_was_never_known_is_fine():
    Ledger().forget(99)


def test_bytes_that_are_no_array_are_refused():
    broken = ArrayRecord({"w": Array("float32", (2,), "numpy.ndarray", b"junk")})

    with pytest.raises(ReplyError, match=r"arrays cannot be read: 'w': .*; expected NumPy arrays"):
        to_arrays(broken)


# --- as int8 changes ---------------------------------------------------------------------------


def model_task(ledger: Ledger, model: np.ndarray, node: int = 7) -> PackedTask:
    """The scaler, kept, and the model as change of what the node holds."""
    keep = ["model/w", "scaler/scale"]
    return ledger.pack(node, wanted(model), keep, as_changes=["model/w"])


def test_a_change_by_hand():
    """From 0..5 to 127 more at the last and 3.4 more at the first: s = 1, q = (3, 0, ..., 127).

    The site then has 3 where the server wants 3.4; the next message carries the 0.4 that is left:
    s = 0.4 / 127 and q = 127 there.
    """
    ledger, context = Ledger(), site()
    goal = MODEL.copy()
    goal[0, 0], goal[1, 2] = 3.4, 132.0

    unpack(model_task(ledger, MODEL), context)
    second = model_task(ledger, goal)
    seen = unpack(second, context)["model/w"]
    third = model_task(ledger, goal)

    assert list(second.arrays) == ["model/w", "model/w:scale"]
    assert second.arrays["model/w"].numpy().tolist() == [[3, 0, 0], [0, 0, 127]]
    assert second.arrays["model/w"].numpy().dtype == np.int8
    assert second.arrays["model/w:scale"].numpy().tolist() == [1.0]
    assert seen.tolist() == [[3.0, 1.0, 2.0], [3.0, 4.0, 132.0]]
    assert third.arrays["model/w"].numpy().tolist() == [[127, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(unpack(third, context)["model/w"], goal, atol=1e-6)


def test_the_server_knows_what_each_site_holds_to_the_last_bit():
    """Node 8 sits out two of three rounds, so its change refers to an older version."""
    ledger, contexts = Ledger(), {7: site(), 8: site()}
    rng = np.random.default_rng(1)
    goals = [rng.normal(size=(2, 3)).astype(np.float32) for _ in range(4)]

    for turn, goal in enumerate(goals):
        for node in (7,) if turn in (1, 2) else (7, 8):
            packed = model_task(ledger, goal, node)
            seen = unpack(packed, contexts[node])["model/w"]
            np.testing.assert_array_equal(seen, packed.contents["model/w"])
            assert ("model/w:scale" in packed.arrays) == (turn > 0)
            # half a step of a change that is at most the distance of two goals
            assert np.abs(seen - goal).max() <= np.abs(goals).max() * 2 / 254 * 1.01


def test_a_change_takes_one_byte_a_value_and_four_for_its_scale():
    ledger, context = Ledger(), site()
    unpack(model_task(ledger, MODEL), context)

    assert array_bytes(model_task(ledger, MODEL + 1).arrays) == 6 + 4


def test_a_model_that_did_not_change_does_not_travel_as_a_change():
    ledger, context = Ledger(), site()
    unpack(model_task(ledger, MODEL), context)

    packed = model_task(ledger, MODEL)

    assert list(packed.arrays) == []
    np.testing.assert_array_equal(unpack(packed, context)["model/w"], MODEL)


def test_a_site_without_the_base_of_a_change_refuses_and_is_sent_float32():
    ledger, context = Ledger(), site()
    unpack(model_task(ledger, MODEL), context)
    context.state.clear()

    with pytest.raises(ReplyError, match=r"'model/w' was neither sent nor held"):
        unpack(model_task(ledger, MODEL + 1), context)
    ledger.forget(7)
    packed = model_task(ledger, MODEL + 1)

    assert packed.arrays["model/w"].numpy().dtype == np.float32
    np.testing.assert_array_equal(unpack(packed, context)["model/w"], MODEL + 1)


def test_a_change_of_another_base_is_refused():
    ledger, context = Ledger(), site()
    unpack(model_task(ledger, MODEL), context)
    held = {"model/w": MODEL + np.float32(1e-6), "scaler/scale": SCALE}
    context.state["held-arrays"] = to_record(held)

    with pytest.raises(ReplyError, match=r"'model/w' was .* in the wanted version"):
        unpack(model_task(ledger, MODEL + 1), context)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_change_that_is_not_finite_travels_in_full_and_so_does_the_way_back(value):
    ledger, context = Ledger(), site()
    broken = MODEL.copy()
    broken[0, 1] = value

    for model in (MODEL, broken, MODEL):
        packed = model_task(ledger, model)
        assert packed.arrays["model/w"].numpy().dtype == np.float32
        np.testing.assert_array_equal(unpack(packed, context)["model/w"], model)


def test_nodes_in_the_same_version_share_one_copy_at_the_server():
    ledger = Ledger()
    tasks = []
    for model in (MODEL, MODEL + 1):
        tasks = [model_task(ledger, model, node) for node in (7, 8)]

    first, second = (packed.contents["model/w"] for packed in tasks)
    assert first is second


def upload(trained: list[float], received: list[float], context: Context, tag: str, follows: str):
    """One array "w" as an upload: what the server makes of it, as a list."""
    params = [{"w": np.array(values, dtype=np.float32)} for values in (trained, received)]
    packed = compress(*params, tag, follows, context)
    return (params[1]["w"] + packed["w"].astype(np.float32) * packed["w:scale"]).tolist()


def test_what_an_upload_loses_is_in_the_next_one():
    """Step 1: change (127, 0.4), s = 1, q = (127, 0); 0.4 is lost.

    Step 2: the same change and the 0.4: (127, 0.8), q = (127, 1); 0.2 too much was sent.
    Step 3: (127, 0.4 - 0.2) = (127, 0.2), q = (127, 0).
    """
    context = site()
    sent = [
        upload([127.0, 0.4], [0.0, 0.0], context, f"cwa/{r}", f"cwa/{r - 1}" if r > 1 else "")
        for r in (1, 2, 3)
    ]

    assert sent == [[127.0, 0.0], [127.0, 1.0], [127.0, 0.0]]


@pytest.mark.parametrize("follows", ["", "cwa/1", "fpf/2"])
def test_what_an_upload_lost_that_did_not_count_is_dropped(follows):
    """The last upload was cwa's in round 2; the server says that none or another one counted."""
    context = site()
    upload([127.0, 0.4], [0.0, 0.0], context, "cwa/2", "")

    assert upload([127.0, 0.4], [0.0, 0.0], context, "fpf/3", follows) == [127.0, 0.0]


def test_arrays_that_are_not_uploaded_keep_what_they_lost():
    """Round 2 uploads "v" alone; in round 3 the 0.4 that "w" lost in round 1 is still there."""
    context = site()
    w, v = np.array([127, 0.4], dtype=np.float32), np.array([127], dtype=np.float32)
    zero = {"w": np.zeros(2, np.float32), "v": np.zeros(1, np.float32)}

    compress({"w": w, "v": v}, zero, "lpe/1", "", context)
    compress({"v": v}, zero, "lpe/2", "lpe/1", context)
    packed = compress({"w": w}, zero, "lpe/3", "lpe/2", context)

    assert packed["w"].tolist() == [127, 1]


def test_over_many_uploads_nothing_is_lost_but_the_last_error():
    """The sum of what arrived misses the sum of the changes by one rounding step at most."""
    context, rng = site(), np.random.default_rng(3)
    changes = rng.normal(size=(50, 20)).astype(np.float32)
    zeros = [0.0] * 20

    arrived = np.array(
        [upload(list(c), zeros, context, str(i), str(i - 1)) for i, c in enumerate(changes)]
    )

    step = np.abs(changes).max() / 127
    assert np.abs(arrived.sum(axis=0) - changes.sum(axis=0)).max() <= step
    alone = np.rint(changes / step) * step
    assert np.abs(alone.sum(axis=0) - changes.sum(axis=0)).max() > step
