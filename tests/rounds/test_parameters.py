import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtfl_app.rounds.parameters import blend, cosine, flat, step, weighted_mean

VALUES = st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3)


def params(*values: float, bias: float = 0.0):
    return {
        "w": np.array(values, dtype=np.float32),
        "b": np.array([bias], dtype=np.float32),
    }


def test_equal_weights_by_hand():
    """(1, 4), (3, 0), (5, 2): means 3 and 2; biases 1, 1, 4: mean 2."""
    mean = weighted_mean([params(1, 4, bias=1), params(3, 0, bias=1), params(5, 2, bias=4)])

    assert mean["w"].tolist() == [3, 2]
    assert mean["b"].tolist() == [2]
    assert mean["w"].dtype == np.float32


def test_weights_by_hand():
    """1 and 5 with weights 30 and 10: (30 + 50) / 40 = 2."""
    assert weighted_mean([params(1), params(5)], [30, 10])["w"].tolist() == [2]


def test_a_weight_of_zero_leaves_a_model_out():
    assert weighted_mean([params(1), params(5), params(9)], [1, 0, 1])["w"].tolist() == [5]


def test_the_mean_is_summed_in_more_digits_than_float32_has():
    """In float32, 1e8 + 1 is 1e8 again, and the mean of 1e8, 1, -1e8 would be 0."""
    mean = weighted_mean([params(1e8), params(3), params(-1e8)])

    assert mean["w"][0] == pytest.approx(1.0)


def test_the_keys_are_those_of_the_first_model_and_all_must_have_them():
    part = {"w": params(3)["w"]}

    assert list(weighted_mean([part, params(5)])) == ["w"]
    with pytest.raises(KeyError):
        weighted_mean([params(5), part])


@settings(max_examples=60, deadline=None)
@given(models=st.lists(VALUES, min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_mean_hardly_depends_on_the_order_and_lies_among_the_models(models, seed):
    rng = np.random.default_rng(seed)
    weights, order = rng.uniform(0.1, 5, len(models)), rng.permutation(len(models))
    replies = [params(*values) for values in models]

    mean = weighted_mean(replies, weights)["w"]
    turned = weighted_mean([replies[i] for i in order], weights[order])["w"]

    np.testing.assert_allclose(turned, mean, rtol=1e-6, atol=1e-6)
    assert (mean <= np.max(models, axis=0) + 1e-4).all()
    assert (mean >= np.min(models, axis=0) - 1e-4).all()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 8.0), (0.25, 6.5), (1.0, 2.0)])
def test_blending_by_hand(share, expected):
    """share * 2 + (1 - share) * 8."""
    assert blend(params(2), params(8), share)["w"].tolist() == [expected]


def test_a_step_goes_against_the_direction():
    """(1, 2) - 0.5 * (4, -2) = (-1, 3)."""
    after = step(params(1, 2), params(4, -2), 0.5)

    assert after["w"].tolist() == [-1, 3]
    assert after["w"].dtype == np.float32


def test_parameters_are_laid_out_in_key_order():
    assert flat({"b": np.array([[1, 2], [3, 4]]), "a": np.array([5])}).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((3, 4), (6, 8), 1.0),
        ((3, 4), (-3, -4), -1.0),
        ((3, 4), (4, -3), 0.0),
        ((3, 4), (1, 0), 0.6),  # 3 / (5 * 1)
        ((3, 4), (0, 0), 0.0),  # a zero vector is like nothing
    ],
)
def test_cosine_by_hand(first, second, expected):
    assert cosine(params(*first), params(*second)) == pytest.approx(expected)


def test_cosine_is_over_the_whole_vector_whatever_the_key_order():
    """(1, 2 | 2) and (2, 0 | 1): (2 + 0 + 2) / (3 * sqrt 5)."""
    first, second = params(1, 2, bias=2), params(2, 0, bias=1)
    turned = dict(reversed(second.items()))

    assert cosine(first, second) == pytest.approx(4 / (3 * 5**0.5))
    assert cosine(first, turned) == cosine(first, second)


def test_integers_and_flags_are_not_averaged_but_the_largest_of_weight_stands():
    told = [
        {"n": np.array(n), "on": np.array(on), "w": np.array([w])}
        for n, on, w in [(3, False, 1.0), (5, True, 3.0), (9, False, 7.0)]
    ]

    mean = weighted_mean(told, [1.0, 1.0, 0.0])

    assert {key: value.tolist() for key, value in mean.items()} == {"n": 5, "on": True, "w": [2.0]}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_keep_their_precision(dtype):
    """Those without a dimension too."""
    params = {"w": np.ones(2, dtype), "b": np.array(2, dtype)}

    for after in (weighted_mean([params, params]), step(params, params, 0.5)):
        assert {k: (v.dtype, v.shape) for k, v in after.items()} == {
            "w": (dtype, (2,)),
            "b": (dtype, ()),
        }
