import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.messages.quantise import dequantise, quantise

ARRAYS = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=2, max_side=5), elements=st.floats(-1e3, 1e3, width=32)
)


def test_rounding_by_hand():
    """The largest, 254, becomes 127, so a step is 2: -100 -> -50, 1 -> 0.5, which rounds to 0."""
    packed = quantise({"w": np.array([254, -100, 1], dtype=np.float32)})

    assert packed["w"].dtype == np.int8
    assert packed["w"].tolist() == [127, -50, 0]
    assert packed["w:scale"].tolist() == [2.0]
    assert dequantise(packed)["w"].tolist() == [254.0, -100.0, 0.0]


@settings(max_examples=80, deadline=None)
@given(array=ARRAYS)
def test_no_value_moves_by_more_than_half_a_step(array):
    restored = dequantise(quantise({"w": array}))["w"]

    assert restored.dtype == np.float32
    assert restored.shape == array.shape
    step = np.abs(array).max() / 127
    # 1e-4 of a step and the smallest float32 leave room for rounding in float32
    assert (np.abs(restored - array) <= step * 0.5001 + 1e-38).all()


def test_zeros_stay_zeros():
    packed = quantise({"w": np.zeros(3, dtype=np.float32)})

    assert dequantise(packed)["w"].tolist() == [0.0, 0.0, 0.0]
    assert packed["w:scale"].tolist() == [1.0]


def test_halves_are_rounded_to_even():
    packed = quantise({"w": np.array([127, 0.5, 1.5, 2.5, -0.5, -1.5], dtype=np.float32)})

    assert packed["w"].tolist() == [127, 0, 2, 2, 0, -2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_shows_in_the_scale(value):
    packed = quantise({"w": np.array([1.0, value], dtype=np.float32)})

    assert packed["w"].dtype == np.int8
    assert not np.isfinite(packed["w:scale"]).all()


def test_a_model_in_8_bits_takes_a_quarter_of_the_bytes():
    """One byte a value instead of four, and four more per array for its scale."""
    params = get_params(build_model(ModelSpec("autoencoder", features=43), seed=0))
    values = sum(value.size for value in params.values())

    packed = quantise(params)

    assert sum(value.nbytes for value in packed.values()) == values + 4 * len(params)
    assert list(dequantise(packed)) == list(params)


def test_float_arrays_pass_as_they_are():
    params = {"w": np.array([0.1, -7.25], dtype=np.float32)}

    np.testing.assert_array_equal(dequantise(params)["w"], params["w"])
