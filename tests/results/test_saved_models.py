import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from dtfl_app.core.errors import DataError
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.dense import Autoencoder
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.results.saved_models import SavedModel, load_model, save_model
from tests.support.calibrations import calibrated_at

SPEC = ModelSpec("autoencoder", features=2, window=3, hidden=5, latent=2)
MODEL = SavedModel(
    spec=SPEC,
    params=get_params(build_model(SPEC, seed=4)),
    scaler={"mean": np.array([1e7, 0.1]), "scale": np.array([3.0, 1e-9]), "clip": np.array([10.0])},
    physics={"demand": np.full((5, 168), 12.5)},
    calibration=calibrated_at(0.12345678901234567, 3.0),
    evidence="instant,plc",
    false_alarm_rate=0.005,
    smoothing=8,
    features=("level", "flow:mean"),
    schema="0123456789abcdef",
)


def test_a_saved_model_is_the_same_when_loaded(tmp_path):
    path = tmp_path / "models" / "cwa.safetensors"

    save_model(path, MODEL)
    back = load_model(path)

    assert back.params.keys() == MODEL.params.keys()
    for key, value in MODEL.params.items():
        np.testing.assert_array_equal(back.params[key], value)
        assert back.params[key].dtype == np.float32
    for key, value in MODEL.scaler.items():
        np.testing.assert_array_equal(back.scaler[key], value)
        assert back.scaler[key].dtype == np.float64
    for name in ("spec", "evidence", "false_alarm_rate", "smoothing", "features", "schema"):
        assert getattr(back, name) == getattr(MODEL, name)
    np.testing.assert_array_equal(back.physics["demand"], MODEL.physics["demand"])
    assert back.calibration.thresholds(0.005).tolist() == [0.12345678901234567, 3.0]
    assert back.calibration.sites["site"][0].count == 2000


def test_the_layers_come_in_their_order(tmp_path):
    path = tmp_path / "m.safetensors"

    save_model(path, MODEL)

    loaded = Autoencoder.layer_keys(list(load_model(path).params))
    layers = [{key.split(".")[1] for key in layer} for layer in loaded]
    assert layers == [{"0"}, {"2"}, {"4"}, {"6"}]


@pytest.mark.parametrize("nothing", [calibrated_at(math.nan), Calibration(np.zeros(1), {})])
def test_a_model_without_calibration_scores_can_be_saved(tmp_path, nothing):
    path = tmp_path / "m.safetensors"

    save_model(path, replace(MODEL, calibration=nothing))

    back = load_model(path).calibration
    assert np.isnan(back.thresholds(0.005)).all()
    assert back.sites.keys() == nothing.sites.keys()


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, MODEL)

    save_model(path, replace(MODEL, smoothing=3))

    assert load_model(path).smoothing == 3
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("content", [None, b"", b"junk", b"\x08" + bytes(40)])
def test_what_is_no_model_is_refused_with_its_path(tmp_path, content):
    path = tmp_path / "m.safetensors"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=r"m\.safetensors: not a model of this app"):
        load_model(path)


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, {"dtfl": "not json"}])
def test_a_model_of_another_app_is_refused(tmp_path, metadata):
    path = tmp_path / "m.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, str(path), metadata=metadata)

    with pytest.raises(DataError, match="not a model of this app"):
        load_model(path)


@pytest.mark.parametrize("about", ["{}", '{"spec": {"kind": "tree"}}', "[]"])
def test_a_model_of_another_version_is_refused(tmp_path, about):
    path = tmp_path / "m.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, str(path), metadata={"dtfl": about})

    with pytest.raises(DataError, match="not a model of this app"):
        load_model(path)


def test_the_spec_of_a_loaded_model_builds_a_model_its_weights_fit(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, MODEL)

    back = load_model(path)

    shapes = {k: v.shape for k, v in get_params(build_model(back.spec, seed=0)).items()}
    assert {k: v.shape for k, v in back.params.items()} == shapes
    assert asdict(back.spec)["window"] == 3
