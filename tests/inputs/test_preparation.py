import numpy as np
import pytest
import torch

from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import set_params
from dtfl_app.inputs.preparation import (
    model_spec,
    prepare,
    prepare_by_site,
    prepare_twin,
    scaler_from_arrays,
    scaler_to_arrays,
    scaling_from_arrays,
    scaling_to_arrays,
)
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.scaling import Scaler, Scaling
from tests.support.line_model import line

SCALER = Scaler(mean=np.array([10.0]), scale=np.array([2.0]), clip=3.0)


def features(*values: float, label=None, instance=None) -> Features:
    n = len(values)
    return Features(
        values=np.array(values, dtype=np.float32)[:, None],
        names=("level",),
        label=np.array(label or [0] * n, dtype=np.int8),
        time=np.datetime64("2024-01-01", "ns") + np.arange(n) * np.timedelta64(1, "h"),
        instance=np.array(instance or ["run"] * n),
        event=np.array([""] * n),
    )


def test_readings_are_scaled_clipped_and_given_their_past():
    """(12 - 10) / 2 = 1, (8 - 10) / 2 = -1, 100 is clipped to 3; windows stay in their stretch."""
    rows = prepare(features(12, 8, 100, instance=["a", "a", "b"]), SCALER, window=2)

    assert rows.x.tolist() == [[1, 1], [1, -1], [3, 3]]
    assert rows.x.dtype == np.float32
    assert rows.features.values[:, 0].tolist() == [12, 8, 100]


def test_a_missing_reading_is_the_mean():
    assert prepare(features(np.nan), SCALER, window=1).x.tolist() == [[0.0]]


def test_rows_carry_their_labels():
    rows = prepare(features(12, 8, 10, label=[0, 1, -1]), SCALER, 1).rows(torch.device("cpu"))

    assert rows.x[:, 0].tolist() == [1.0, -1.0, 0.0]
    assert rows.y.tolist() == [0.0, 1.0, -1.0]


def test_scores_are_smoothed_within_a_stretch():
    """A model that says 0: squared errors 1, 9 | 4, mean of up to two: 1, 5 | 4."""
    model = build_model(ModelSpec("autoencoder", 1, hidden=1, latent=1), seed=0)
    set_params(model, line(0.0))
    rows = prepare(features(12, 16, 14, instance=["a", "a", "b"]), SCALER, window=1)

    assert rows.score(model, smoothing=2).total.tolist() == [1, 5, 4]


@pytest.mark.parametrize("kind", ["autoencoder", "classifier"])
def test_the_architecture_follows_the_settings(kind):
    settings = DetectorSettings(model=kind, window=4, hidden=7, latent=5)

    assert model_spec(settings, features=3) == ModelSpec(kind, 3, window=4, hidden=7, latent=5)


def test_a_scaler_survives_the_wire():
    scaler = Scaler(np.array([1.5, -2e7]), np.array([0.1, 3.0]), clip=4.5)

    back = scaler_from_arrays(to_arrays(to_record(scaler_to_arrays(scaler))))

    assert back.to_dict() == scaler.to_dict()


def test_rows_of_each_site_are_scaled_by_its_own_scaler_and_others_by_the_pooled_one():
    """(14 - 12) / 1 at east, (14 - 10) / 2 at a site that has none of its own."""
    scaling = Scaling(SCALER, {"east": Scaler(np.array([12.0]), np.array([1.0]))})
    rows = features(14, 14, 12, instance=["east/a", "far/a", "east/b"])

    found = prepare_by_site(rows, scaling, FederatedDataset.site_of, window=1)

    assert found.x.tolist() == [[2.0], [2.0], [0.0]]


def test_a_twin_is_scaled_by_its_own_normal_rows_where_sites_are_by_theirs():
    """Of 18 and 22: mean 20, deviation 2; the abnormal 40, clipped to 3, does not count."""
    rows = features(18, 22, 40, label=[0, 0, 1])
    own = Scaling(SCALER, {"east": SCALER})

    found = prepare_twin(rows, own, np.array([10.0]), window=1)
    common = prepare_twin(rows, Scaling(SCALER), np.array([10.0]), window=1)

    assert found.x.tolist() == [[-1.0], [1.0], [3.0]]
    assert common.x.tolist() == prepare(rows, SCALER, window=1).x.tolist()


def test_sites_scalers_survive_a_file_whatever_their_names():
    own = {name: Scaler(np.array([9.0]), np.array([4.0])) for name in ("a/b", "a", "sites/mean")}

    back = scaling_from_arrays(scaling_to_arrays(Scaling(SCALER, own)))

    assert back.to_dict() == Scaling(SCALER, own).to_dict()
    assert Scaling.from_dict(back.to_dict()).to_dict() == back.to_dict()
