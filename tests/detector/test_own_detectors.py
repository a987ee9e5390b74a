"""Detectors of somebody else, by their import paths."""

import numpy as np
import onnxruntime
import pytest
import torch

from dtfl_app.core.errors import ConfigError, ResultsError
from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.detector.detector import ModelSpec, occlusion
from dtfl_app.detector.models import build_model, find_detector, require_detector
from dtfl_app.detector.params import get_params, set_params
from dtfl_app.detector.probe import probe
from dtfl_app.detector.scoring import score, totals
from dtfl_app.detector.training import Rows, TrainingSpec, gradient, train
from tests.support.own_detectors import WRONG, Stencil

OWN = "tests.support.own_detectors"
STENCIL = ModelSpec(f"{OWN}:Stencil", features=2, window=4, options="width=3")
ONE_CLASS = ModelSpec(f"{OWN}:OneClass", features=3, window=2)
TEMPORAL = ModelSpec("temporal", features=3, window=8, options="channels=5, code=2")
SOUND = pytest.mark.parametrize("spec", [STENCIL, ONE_CLASS, TEMPORAL])


def trained(spec, steps=30):
    """A detector that has seen a little, so that its buffers are not those it was made with."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 2.0, size=(64, spec.inputs)).astype(np.float32)
    model = build_model(spec, seed=1)
    rows = Rows.from_numpy(x, np.zeros(64, np.int8))
    train(model, rows, steps, TrainingSpec(lr=0.01), rng)
    return model, x


@SOUND
def test_it_learns_and_scores_and_its_graph_scores_alike(spec):
    """To 1e-5 at one row as at all; smoothed or not is none of its business."""
    model, x = trained(probe(build_model(spec, 1)).spec)
    names = np.full(len(x), "run")
    wanted = score(model, x, names, smoothing=1)
    session = onnxruntime.InferenceSession(model.to_onnx())

    for rows in (slice(0, 1), slice(None)):
        total, shares = session.run(["total", "per_channel"], {"x": x[rows]})
        np.testing.assert_allclose(total, wanted.total[rows], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(shares, wanted.per_channel[rows], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(totals(model, x), wanted.total)
    losses = [train(model, Rows.from_numpy(x, np.zeros(64, np.int8)), 20, TrainingSpec(), rng)
              for rng in [np.random.default_rng(2)] * 3]  # fmt: skip
    assert losses == sorted(losses, reverse=True)


@SOUND
def test_the_same_detector_gives_the_same_graph_and_stays_as_it_is(spec):
    model, x = trained(spec)
    before, scores = get_params(model), totals(model, x)

    assert model.to_onnx() == model.to_onnx()

    assert all(np.array_equal(get_params(model)[k], v) for k, v in before.items())
    np.testing.assert_array_equal(totals(model, x), scores)


def test_what_a_detector_expects_is_in_its_graph():
    model, x = trained(STENCIL)

    session = onnxruntime.InferenceSession(model.to_onnx())

    (expected,) = session.run(["expected"], {"x": x})
    with torch.no_grad():
        wanted = model.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(expected, wanted, rtol=1e-5, atol=1e-5)


def test_a_detector_that_a_trace_does_not_know_whole_is_not_exported():
    model = build_model(ModelSpec(f"{OWN}:Branching", features=3, window=2), seed=0)

    with pytest.raises(ResultsError, match="'total' of its ONNX model is not torch's on 1 rows"):
        model.to_onnx()


def test_numbers_travel_and_counts_stay():
    """BatchNorm has counted 30 batches; the arrays of another model leave that alone."""
    model, _ = trained(STENCIL)
    other = get_params(build_model(STENCIL, seed=2))
    other["even.running_var"][:] = -0.25

    set_params(model, other)

    assert {"even.running_mean", "even.running_var"} < set(other)
    assert "even.num_batches_tracked" not in other
    assert model.even.num_batches_tracked == 30
    assert model.even.running_var.tolist() == [0.0] * 3  # rounding took it below, which it is not
    assert np.array_equal(get_params(model)["see.weight"], other["see.weight"])


def test_no_gradient_moves_a_buffer():
    params = get_params(build_model(STENCIL, seed=1))
    rows = Rows.from_numpy(np.ones((5, 8), np.float32), np.zeros(5, np.int8))

    found = gradient(params, build_model(STENCIL, 0), rows)

    assert list(found) == list(params)
    assert not found["even.running_mean"].any()
    assert found["say.bias"].any()


def test_a_layer_is_a_module_in_the_order_of_the_class():
    keys = list(get_params(build_model(STENCIL, 0)))

    layers = Stencil.layer_keys(keys)

    assert [{key.split(".")[0] for key in layer} for layer in layers] == [
        {"see"},
        {"even"},
        {"say"},
    ]


def test_a_hidden_feature_moves_the_score_by_its_part():
    """total = 2 a + b^2 over two steps; x = (1, 2), (3, 4): 8 of the 28 are a's, 20 are b's."""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])

    shares = occlusion(lambda x: 2 * (x[:, 0] + x[:, 2]) + x[:, 1] ** 2 + x[:, 3] ** 2, x, 2)

    assert shares.tolist() == [[8.0, 20.0]]


@pytest.mark.parametrize(
    ("wrong", "text"), WRONG.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_a_wrong_detector_is_one_error(wrong, text):
    spec = ModelSpec(f"{OWN}:{wrong.__name__}", features=2, window=4)

    with pytest.raises(
        ConfigError, match=f"detector.model = '{OWN}:{wrong.__name__}'.*{text}"
    ) as found:
        probe(build_model(spec, seed=0))

    assert "inputs of shape (3, 8) (window 4 of 2 features)" in str(found.value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"model": "transformer"}, "expected one of autoencoder, classifier, temporal, or a subcl"),
        (
            {"model": "nowhere:Mine"},
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ({"model": f"{OWN}:WRONG"}, "not a subclass of dtfl_app.detector.detector.Detector"),
        ({"model": "temporal", "window": 1}, "detector.window = 1; .* needs 2 time steps at least"),
        (
            {"model": "temporal", "window": 2, "options": "depth=3"},
            "detector.options: unknown option 'depth'",
        ),
        ({"model": "temporal", "window": 2, "options": "code=0"}, "code = 0; expected at least 1"),
        ({"options": "width=3"}, "detector.options: unknown option 'width'; there is none"),
        (
            {"model": "classifier", "evidence": "instant,smoothed"},
            "detector.evidence = 'instant,smoothed' needs scores that cannot be negative",
        ),
        ({"model": "classifier", "thresholds": "site"}, 'detector.thresholds = "site" needs'),
    ],
)
def test_what_a_detector_cannot_do_is_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        require_detector(DetectorSettings(**settings))


def test_a_classifier_may_weigh_one_kind_of_evidence():
    assert require_detector(DetectorSettings(model="classifier", evidence="instant")).needs_labels


def test_a_package_s_short_name_counts(monkeypatch):
    """As an entry point of an installed package has it."""
    from importlib.metadata import EntryPoint  # noqa: PLC0415 - of this test alone

    from dtfl_app.core import registry  # noqa: PLC0415 - likewise

    point = EntryPoint("stencil", f"{OWN}:Stencil", "dtfl.detectors")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])

    assert find_detector("stencil") is Stencil
    with pytest.raises(ConfigError, match="did you mean 'stencil'"):
        find_detector("stensil")
