import numpy as np
import pytest
import torch

from dtfl_app.detector.dense import Classifier
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model, resolve_device
from dtfl_app.detector.params import as_params, get_params, set_params

AUTOENCODER = ModelSpec("autoencoder", features=3, window=2, hidden=5, latent=4)
CLASSIFIER = ModelSpec("classifier", features=3, window=2, hidden=5, latent=4)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        (AUTOENCODER, [(5, 6), (5,), (4, 5), (4,), (5, 4), (5,), (6, 5), (6,)]),
        (CLASSIFIER, [(5, 6), (5,), (4, 5), (4,), (1, 4), (1,)]),
    ],
)
def test_layers_have_the_documented_widths_input_first(spec, shapes):
    """w * d = 2 * 3 = 6 inputs; the autoencoder ends with 6 outputs, the classifier with one."""
    params = get_params(build_model(spec, seed=0))

    assert [value.shape for value in params.values()] == shapes
    assert all(value.dtype == np.float32 for value in params.values())


def test_the_last_layer_is_linear_and_the_others_are_rectified():
    """With weights 1 and biases 0, x = -1 dies in the first ReLU; a last bias of -3 passes."""
    model = build_model(ModelSpec("autoencoder", features=1, hidden=1, latent=1), seed=0)
    params = {k: np.full_like(v, float("weight" in k)) for k, v in get_params(model).items()}
    params["layers.6.bias"][:] = -3.0
    set_params(model, params)

    with torch.no_grad():
        out = model(torch.tensor([[-1.0], [2.0]]))

    assert out[:, 0].tolist() == [-3.0, -1.0]


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(11)
    first = get_params(build_model(AUTOENCODER, seed=1))
    torch.manual_seed(99)
    again = get_params(build_model(AUTOENCODER, seed=1))
    other = get_params(build_model(AUTOENCODER, seed=2))

    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
        assert not np.array_equal(value, other[key])


def test_building_a_model_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    undisturbed = torch.rand(3)

    torch.manual_seed(5)
    build_model(AUTOENCODER, seed=1)

    assert torch.equal(torch.rand(3), undisturbed)


def test_parameters_are_copied_out_and_in():
    model = build_model(AUTOENCODER, seed=0)
    before = get_params(model)
    taken = get_params(model)
    for value in taken.values():
        value[:] = 7.0

    assert all(np.array_equal(get_params(model)[k], v) for k, v in before.items())

    set_params(model, taken)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()

    assert all((value == 7.0).all() for value in taken.values())


def test_read_only_arrays_can_be_loaded():
    """Arrays that came in a message are read-only."""
    model = build_model(AUTOENCODER, seed=0)
    params = get_params(build_model(AUTOENCODER, seed=1))
    for value in params.values():
        value.flags.writeable = False

    set_params(model, params)

    assert all(np.array_equal(get_params(model)[k], v) for k, v in params.items())


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_parameters_of_another_model_are_refused(change):
    model = build_model(AUTOENCODER, seed=0)
    params = get_params(model)
    if change == "missing":
        del params["layers.0.bias"]
    elif change == "extra":
        params["layers.9.bias"] = np.zeros(1, np.float32)
    else:
        params["layers.0.bias"] = np.zeros((1, 5), np.float32)

    with pytest.raises(RuntimeError, match=r"layers\.[09]\.bias"):
        set_params(model, params)


def test_any_number_type_reads_as_float32():
    params = as_params({"a": np.array([1, 2]), "b": np.array([0.5])})

    assert {k: (v.dtype, v.tolist()) for k, v in params.items()} == {
        "a": (np.float32, [1.0, 2.0]),
        "b": (np.float32, [0.5]),
    }


def test_keys_are_grouped_by_layer_in_order():
    keys = list(get_params(build_model(CLASSIFIER, seed=0)))

    assert Classifier.layer_keys(keys) == [
        ["layers.0.weight", "layers.0.bias"],
        ["layers.2.weight", "layers.2.bias"],
        ["layers.4.weight", "layers.4.bias"],
    ]


@pytest.mark.parametrize(("has_cuda", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_cuda_where_there_is_one(monkeypatch, has_cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)

    assert resolve_device("auto").type == expected
    assert resolve_device("cpu").type == "cpu"
