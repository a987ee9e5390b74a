"""What a gateway computes is what the torch path computes, to 1e-5."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.model import OnnxModel
from dtfl_app.detection.once import score_file
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.onnx_graph import logit_graph
from dtfl_app.detector.params import get_params
from dtfl_app.detector.scoring import score, stack_windows
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.results.episodes import alarm_episodes
from dtfl_app.sites.batadal import read_batadal
from dtfl_app.sites.batadal_sites import HOURLY
from dtfl_app.sites.features import make_features
from dtfl_app.sites.scaling import ChannelSums, Scaler
from twin.ctown.channels import SCADA


@pytest.fixture(scope="module")
def scaled(dataset04):
    """Dataset04 as the model sees it, and the stretch of each row."""
    series = read_batadal(dataset04)
    features = make_features(series, SCADA, HOURLY)
    scaler = Scaler.from_sums(ChannelSums.of(features.values), np.full(43, 10.0))
    return scaler.transform(features.values), features.instance


@pytest.mark.parametrize("kind", ["autoencoder", "classifier"])
@pytest.mark.parametrize("window", [1, 3])
def test_the_graph_scores_dataset04_as_torch_does(kind, window, scaled):
    rows, instance = scaled
    spec = ModelSpec(kind, features=43, window=window, hidden=32, latent=8)
    detector = build_model(spec, seed=3)
    inputs = stack_windows(rows, instance, window)
    wanted = score(detector, inputs, instance, smoothing=1)

    found = OnnxModel(detector.to_onnx(), window, 43).score(inputs)

    assert found.total.shape == (4177,)
    assert found.per_channel.shape == (4177, 43)
    np.testing.assert_allclose(found.total, wanted.total, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.per_channel, wanted.per_channel, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [1, 3])
def test_what_an_autoencoder_expects_is_its_reconstruction_of_the_last_step(window, scaled):
    rows, instance = scaled
    detector = build_model(ModelSpec("autoencoder", 43, window, hidden=32, latent=8), seed=3)
    inputs = stack_windows(rows, instance, window)
    with torch.no_grad():
        wanted = detector(torch.from_numpy(inputs)).numpy()[:, -43:]

    found = OnnxModel(detector.to_onnx(), window, 43).score(inputs)

    np.testing.assert_allclose(found.expected, wanted, rtol=1e-5, atol=1e-5)
    missed = (found.expected - inputs[:, -43:]).astype(np.float64) ** 2
    np.testing.assert_allclose(found.per_channel, missed, rtol=1e-6, atol=1e-9)


def test_a_classifier_expects_nothing(scaled):
    detector = build_model(ModelSpec("classifier", 43, 1, hidden=32, latent=8), seed=3)

    found = OnnxModel(detector.to_onnx(), 1, 43).score(scaled[0][:9])

    assert found.expected is None


def test_the_same_parameters_give_the_same_bytes():
    params = get_params(build_model(ModelSpec("classifier", 5, 2, 8, 4), seed=0))
    shuffled = dict(reversed(params.items()))

    assert logit_graph(5, 2, params) == logit_graph(5, 2, shuffled)


def steps_of(folder, data):
    """Every step of a file, as the gateway writes it."""
    _, lines = score_file(read_folder(folder), DetectionOptions(every_step=True), data)
    return pd.DataFrame([line for line in map(json.loads, lines) if "event" not in line])


def assert_same(found, stored):
    """Scores to 1e-5; times, alarms, p-values and evidence exactly; a law's first channel too.

    What is usual for a channel of the model is another matter there (docs/detect.md).
    """
    np.testing.assert_allclose(found["score"], stored["score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(pd.to_datetime(found["time"]), pd.to_datetime(stored["time"]))
    np.testing.assert_array_equal(found["alarm"], stored["alarm"])
    np.testing.assert_allclose(found["p_value"], stored["p_value"], rtol=1e-9)
    np.testing.assert_array_equal(found["evidence"], stored["evidence"])
    lawful = found["alarm"] & found["evidence"].isin(["plc", "pump", "balance"])
    first = [channels[0]["channel"] for channels in found.loc[lawful, "channels"]]
    assert first == stored.loc[lawful, "channel"].tolist()


def test_all_kinds_of_evidence_give_the_run_s_own_alarms(everything, model, dataset04):
    found = steps_of(model, dataset04)

    assert_same(found, pd.read_csv(everything.path / "alarms" / "cwa.csv"))
    assert found["alarm"].sum() > 300
    assert {"instant", "plc", "pump"} <= set(found.loc[found["alarm"], "evidence"])


def test_the_gateway_s_episodes_are_those_of_the_run_s_own_alarms(everything, model, dataset04):
    _, lines = score_file(read_folder(model), DetectionOptions(), dataset04)
    over = [line for line in map(json.loads, lines) if line.get("peak")]

    stored = pd.read_csv(everything.path / "alarms" / "cwa.csv", parse_dates=["time"])
    episodes = alarm_episodes(stored)

    assert len(over) == len(episodes) > 10
    for line, episode in zip(over, episodes, strict=True):
        assert (pd.Timestamp(line["begin"]), line["steps"]) == (episode.begin, episode.steps)
        assert pd.Timestamp(line["end"]) == episode.end
        assert line["score"] / line["threshold"] == pytest.approx(episode.peak, rel=1e-5)


@pytest.mark.parametrize("kind", ["autoencoder", "classifier"])
def test_the_model_s_own_evidence_gives_the_run_s_own_alarms(kind, launcher, dataset04):
    run = launcher.run(strategy="fedavg", rounds=2, detector__model=kind, detector__window=3)

    found = steps_of(run.path / "deploy" / "fedavg", dataset04)

    assert_same(found, pd.read_csv(run.path / "alarms" / "fedavg.csv"))
    assert found["alarm"].any()


def test_missing_readings_are_scored_as_the_torch_path_scores_them(
    everything, model, dataset04, tmp_path
):
    """One cell in twenty is emptied, and a day is cut out: levels and statuses are missing."""
    rng = np.random.default_rng(0)
    frame = pd.read_csv(dataset04, skipinitialspace=True).iloc[1600:2400]
    frame = frame.mask(rng.random(frame.shape) < 0.05).assign(
        DATETIME=frame["DATETIME"], ATT_FLAG=frame["ATT_FLAG"]
    )
    path = tmp_path / "holes.csv"
    frame.drop(frame.index[300:324]).to_csv(path, index=False)

    wanted = evaluate_file(everything.path, everything.path / "models" / "cwa.safetensors", path)

    found, alarms = steps_of(model, path), wanted.alarms
    np.testing.assert_allclose(found["score"], alarms["score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["alarm"], alarms["alarm"])
    assert alarms["instance"].nunique() == 2
