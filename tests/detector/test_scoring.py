import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params, set_params
from dtfl_app.detector.scoring import score, smooth, stack_windows
from tests.support.line_model import line

# Lengths of neighbouring stretches and a window: every case a windowing rule can get wrong.
STRETCHES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def names(*lengths: int) -> np.ndarray:
    """Stretches called a, b, a, b...: two that share a name are still two stretches."""
    return np.repeat([("a", "b")[i % 2] for i in range(len(lengths))], lengths)


def test_windows_by_hand():
    """Windows of 3 over rows 0, 1, 2 | 3, 4: a stretch's first row fills what is before it."""
    values = np.arange(5, dtype=np.float32)[:, None]

    windows = stack_windows(values, names(3, 2), 3)

    assert windows.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [3, 3, 3], [3, 3, 4]]


def test_a_window_holds_whole_steps_oldest_first():
    values = np.array([[1, 2], [3, 4]], dtype=np.float32)

    assert stack_windows(values, names(2), 2).tolist() == [[1, 2, 1, 2], [1, 2, 3, 4]]


def test_a_window_of_one_step_is_the_step():
    values = np.arange(4, dtype=np.float32)[:, None]

    np.testing.assert_array_equal(stack_windows(values, names(2, 2), 1), values)


def test_a_site_without_rows_has_no_windows():
    assert stack_windows(np.zeros((0, 2), np.float32), names(), 3).shape == (0, 6)


@settings(max_examples=80, deadline=None)
@given(lengths=STRETCHES, window=st.integers(1, 6))
def test_windows_never_span_two_stretches(lengths, window):
    """A row's value is its number, so each window says which rows it took."""
    total = sum(lengths)
    first = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)

    windows = stack_windows(np.arange(total, dtype=np.float32)[:, None], names(*lengths), window)

    assert windows.shape == (total, window)
    assert (windows[:, -1] == np.arange(total)).all()
    assert (windows >= first[:, None]).all()
    assert (np.diff(windows, axis=1) >= 0).all()


def test_smoothing_by_hand():
    """Means over two steps of 4, 0, 2, 6 | 1, 3: 4, (4+0)/2, (0+2)/2, (2+6)/2 | 1, (1+3)/2."""
    values = np.array([4.0, 0.0, 2.0, 6.0, 1.0, 3.0])[:, None]

    assert smooth(values, names(4, 2), 2)[:, 0].tolist() == [4, 2, 1, 4, 1, 2]


@pytest.mark.parametrize("steps", [0, 1])
def test_smoothing_over_one_step_changes_nothing(steps):
    values = np.array([[4.0], [0.0]])

    assert smooth(values, names(2), steps).tolist() == values.tolist()


@settings(max_examples=60, deadline=None)
@given(lengths=STRETCHES, steps=st.integers(1, 6), seed=st.integers(0, 99))
def test_smoothing_is_the_mean_of_the_last_steps_of_the_stretch(lengths, steps, seed):
    values = np.random.default_rng(seed).uniform(0, 100, (sum(lengths), 2))
    first = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)

    means = smooth(values, names(*lengths), steps)

    for row, start in enumerate(first):
        taken = values[max(start, row - steps + 1) : row + 1]
        np.testing.assert_allclose(means[row], taken.mean(axis=0), rtol=1e-12)


def test_an_autoencoder_scores_by_its_squared_error():
    """It says 0 for both channels: errors of (3, 1) are 9 and 1, their mean 5."""
    model = zero_autoencoder(features=2)
    x = np.array([[3, 1], [0, 2]], dtype=np.float32)

    scores = score(model, x, names(2), smoothing=1)

    assert scores.per_channel.tolist() == [[9, 1], [0, 4]]
    assert scores.total.tolist() == [5, 2]


def test_an_autoencoder_judges_the_last_step_of_its_window():
    """The window (7, 7), (1, 3) scores (1 + 9) / 2; the sevens count for the step before."""
    model = zero_autoencoder(features=2, window=2)
    x = np.array([[7, 7, 1, 3]], dtype=np.float32)

    scores = score(model, x, names(1), smoothing=1)

    assert scores.per_channel.tolist() == [[1, 9]]
    assert scores.total.tolist() == [5]


def test_channels_and_total_are_smoothed_alike():
    """Errors 9, 1 | 4 of one channel, over two steps: 9, 5 | 4."""
    model = build_model(ModelSpec("autoencoder", 1, hidden=1, latent=1), seed=0)
    set_params(model, line(0.0))
    x = np.array([[3], [1], [2]], dtype=np.float32)

    scores = score(model, x, names(2, 1), smoothing=2)

    assert scores.total.tolist() == [9, 5, 4]
    assert scores.per_channel[:, 0].tolist() == [9, 5, 4]


def test_a_classifier_scores_by_its_logit_and_shares_it_by_slope():
    """Window of two steps, two channels, weights (1, 0), (2, -1), then ones; biases 0.

    x = (5, 9), (1, 3): 5 + 2 - 3 = 4. |x * slope| is (5, 0) and (2, 3): channels 7 and 3.
    x = (0, 0), (0, 1): -1 dies in the ReLU: logit 0, no slope, no share.
    """
    model = build_model(ModelSpec("classifier", 2, window=2, hidden=1, latent=1), seed=0)
    params = {k: np.full_like(v, float("weight" in k)) for k, v in get_params(model).items()}
    params["layers.0.weight"][:] = [[1, 0, 2, -1]]
    set_params(model, params)
    x = np.array([[5, 9, 1, 3], [0, 0, 0, 1]], dtype=np.float32)

    scores = score(model, x, names(2), smoothing=1)

    assert scores.total.tolist() == [4, 0]
    assert scores.per_channel.tolist() == [[7, 3], [0, 0]]


@pytest.mark.parametrize("kind", ["autoencoder", "classifier"])
def test_no_rows_give_no_scores(kind):
    model = build_model(ModelSpec(kind, 2, hidden=3, latent=2), seed=0)

    scores = score(model, np.zeros((0, 2), np.float32), names(), smoothing=3)

    assert scores.total.shape == (0,)
    assert scores.per_channel.shape == (0, 2)


@pytest.mark.parametrize("kind", ["autoencoder", "classifier"])
def test_scoring_leaves_the_model_as_it_is(kind):
    model = build_model(ModelSpec(kind, 2, hidden=3, latent=2), seed=0)
    before = get_params(model)

    score(model, np.ones((4, 2), np.float32), names(4), smoothing=1)

    assert all(np.array_equal(get_params(model)[k], v) for k, v in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())


def zero_autoencoder(features: int, window: int = 1):
    """It says 0 whatever it sees."""
    model = build_model(ModelSpec("autoencoder", features, window, hidden=1, latent=1), seed=0)
    set_params(model, {k: np.zeros_like(v) for k, v in get_params(model).items()})
    return model
