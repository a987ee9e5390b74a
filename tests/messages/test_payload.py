"""Every way in which the layers of a reply can be wrong, on real Flower messages."""

import io
import math
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given
from hypothesis import strategies as st

from dtfl_app.core.errors import ReplyError
from dtfl_app.messages.admission import admit
from tests.support.replies import (
    BIAS,
    CHANGED,
    EXPECTED,
    ONE,
    STEPS,
    WEIGHT,
    answer,
    changes,
    header,
    npy,
    raw,
)


def test_large_weights_are_admitted():
    weight = WEIGHT.copy()
    weight[0, 0] = -1e6

    assert admit(answer(l__weight=weight), EXPECTED).params["l.weight"][0, 0] == -1e6


def test_layers_come_in_the_order_the_server_expects():
    arrays = ArrayRecord({"model/l.bias": Array(BIAS), "model/l.weight": Array(WEIGHT)})

    assert list(admit(answer(arrays=arrays), EXPECTED).params) == ["l.weight", "l.bias"]


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
    ("change", "said"),
    [
        ({"l__bias": None}, "missing: 'model/l.bias'"),
        ({"m__bias": BIAS}, "not asked for: 'model/m.bias'"),
        ({"arrays": ArrayRecord()}, "missing: 'model/l.bias', 'model/l.weight'"),
        (
            {"arrays": ArrayRecord({"l.weight": Array(WEIGHT), "l.bias": Array(BIAS)})},
            "missing: .*; not asked for: 'l.bias', 'l.weight'",
        ),
    ],
)
def test_missing_and_extra_layers_are_refused(change, said):
    with pytest.raises(ReplyError, match=f"^arrays are not those asked for; {said}$"):
        admit(answer(**change), EXPECTED)


def test_of_many_layers_that_nobody_asked_for_three_are_named():
    many = {f"x{number}": BIAS for number in range(1000)}

    with pytest.raises(ReplyError, match="'model/x0', 'model/x1', 'model/x10' and 997 more"):
        admit(answer(**many), EXPECTED)


# --- arrays as a hostile site writes them --------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "got"),
    [
        ({"dtype": "float64"}, r"float64 \(2,\)"),
        ({"dtype": "nonsense"}, r"nonsense \(2,\)"),
        ({"dtype": "object"}, r"object \(2,\)"),
        ({"shape": (1, 2)}, r"float32 \(1, 2\)"),
        ({"shape": (10**12,)}, r"float32 \(1000000000000,\)"),
        ({"shape": (-5,)}, r"float32 \(-5,\)"),
        ({"shape": ()}, r"float32 \(\)"),
    ],
)
def test_an_array_is_refused_for_its_label_alone(label, got):
    """Its bytes are just what was asked for."""
    with pytest.raises(ReplyError, match=rf"layer 'l\.bias' is {got}, expected float32 \(2,\)"):
        admit(answer(l__bias=raw(npy(BIAS), **label)), EXPECTED)


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (BIAS[None, :], r"float32 \(1, 2\)"),
        (BIAS.astype(np.float64)[:1], r"float64 \(1,\)"),
        (BIAS.astype(">f4"), r">f4 \(2,\)"),
        (BIAS.astype("S4"), r"\|S4 \(2,\)"),
        (np.zeros(2, dtype=[("a", "<f4")]), r"\[\('a', '<f4'\)\] \(2,\)"),
    ],
)
def test_an_array_is_refused_when_its_bytes_say_otherwise_than_its_label(array, got):
    with pytest.raises(ReplyError, match=rf"layer 'l\.bias' is {got}, expected float32 \(2,\)"):
        admit(answer(l__bias=raw(npy(array))), EXPECTED)


@pytest.mark.parametrize(("shape", "length"), [((10**8,), 132), ((10**14,), 132), ((-1,), 132)])
def test_no_room_is_made_for_the_shape_that_bytes_announce(shape, length):
    """132 bytes that announce 10^8 float32: Flower's reader makes room for 400 MB."""
    data = header(shape)
    assert len(data) == length
    tracemalloc.start()

    with pytest.raises(ReplyError, match=r"layer 'l\.bias' is float32 \(-?1"):
        admit(answer(l__bias=raw(data)), EXPECTED)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_an_array_larger_than_asked_for_is_refused_before_it_is_read():
    """Two float32 take 8 bytes; these are followed by a megabyte of something else."""
    data = npy(BIAS) + bytes(2**20)

    with pytest.raises(ReplyError, match=r"layer 'l\.bias' has 1048712 bytes, expected 8 and at"):
        admit(answer(l__bias=raw(data)), EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an array",
        npy(BIAS)[:20],
        b"PK\x03\x04 what NumPy takes for an archive",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((( \n",
        b"\x93NUMPY\x01\x00\x60\x00" + b"(" * 96,
        b"\x93NUMPY\x01\x00\xff\xff" + npy(BIAS)[10:],
        b"\x93NUMPY\x02\x00" + npy(BIAS)[8:10] + b"\x00\x00" + npy(BIAS)[10:],
    ],
    ids=["empty", "text", "cut-header", "zip", "syntax", "nested", "long-header", "version"],
)
def test_bytes_that_are_no_array_are_refused(data):
    with pytest.raises(ReplyError, match=r"layer 'l\.bias' cannot be read: its bytes are no array"):
        admit(answer(l__bias=raw(data)), EXPECTED)


@pytest.mark.parametrize(("change", "left"), [(-3, 5), (1, 9), (8, 16)])
def test_an_array_with_too_few_or_too_many_bytes_is_refused(change, left):
    """Two float32 take 8 bytes."""
    data = (npy(BIAS) + bytes(8))[: len(npy(BIAS)) + change]

    with pytest.raises(ReplyError, match=f"cannot be read: {left} bytes of numbers, expected 8"):
        admit(answer(l__bias=raw(data)), EXPECTED)


def test_an_archive_instead_of_an_array_is_refused():
    file = io.BytesIO()
    np.savez(file, bias=BIAS)

    with pytest.raises(ReplyError, match="pickles and archives are never opened"):
        admit(answer(l__bias=raw(file.getvalue())), EXPECTED)


class Mark:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def pickled(mark):
    return raw(pickle.dumps(mark))


def pickled_objects(mark):
    file = io.BytesIO()
    np.save(file, np.array([mark, mark], dtype=object), allow_pickle=True)
    return raw(file.getvalue())


def called_a_pickle(mark):
    return Array(dtype="float32", shape=(2,), stype="pickle", data=pickle.dumps(mark))


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        (pickled, "no array in NumPy's format 1.0; pickles and archives are never opened"),
        (pickled_objects, "it holds pickled Python objects, which are never opened"),
        (called_a_pickle, "packed as 'pickle', expected 'numpy.ndarray'; nothing is ever unpickl"),
    ],
)
def test_a_pickle_is_refused_and_never_opened(pack, reason, tmp_path):
    pickle.loads(pickle.dumps(Mark(tmp_path / "proof")))
    assert (tmp_path / "proof").exists()

    with pytest.raises(ReplyError, match=rf"layer 'l\.bias' cannot be read: .*{reason}"):
        admit(answer(l__bias=pack(Mark(tmp_path / "hit"))), EXPECTED)

    assert not (tmp_path / "hit").exists()


def test_flower_s_own_reader_opens_no_pickle_either(tmp_path):
    """Other messages are read with it: a site's profile, and what the server sends to a site."""
    for pack in (pickled, pickled_objects, called_a_pickle):
        with pytest.raises((ValueError, TypeError)):
            pack(Mark(tmp_path / "hit")).numpy()

    assert not (tmp_path / "hit").exists()


def test_layers_in_column_order_are_read_as_what_they_are():
    reply = admit(answer(l__weight=np.asfortranarray(WEIGHT)), EXPECTED)

    assert reply.params["l.weight"].tolist() == WEIGHT.tolist()


def test_layers_can_be_changed_in_place():
    reply = admit(answer(), EXPECTED)

    reply.params["l.bias"] += 1

    assert reply.params["l.bias"].tolist() == [1.5, 0.5]


@given(data=st.binary(max_size=300), start=st.integers(0, 140), cut=st.integers(0, 140))
def test_whatever_the_bytes_they_are_refused_or_the_array_asked_for(data, start, cut):
    """A good array whose bytes from `start` are replaced, or cut."""
    good = npy(BIAS)
    mixed = raw(good[:start] + data + good[start + cut :])

    try:
        params = admit(answer(l__bias=mixed), EXPECTED).params
    except ReplyError as error:
        assert len(str(error)) < 400
    else:
        assert params["l.bias"].shape == (2,)
        assert np.isfinite(params["l.bias"]).all()


# --- layers as int8 changes ----------------------------------------------------------------------


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
    with pytest.raises(ReplyError, match=r"arrays are .* missing"):
        admit(changes(**{missing: None}), CHANGED)


def test_whole_layers_are_refused_where_changes_are_expected_and_the_other_way_round():
    with pytest.raises(ReplyError, match=r"missing: .*:scale"):
        admit(answer(), CHANGED)
    with pytest.raises(ReplyError, match=r"not asked for: .*:scale"):
        admit(changes(), EXPECTED)
