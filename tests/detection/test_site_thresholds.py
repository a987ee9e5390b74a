"""Sites that are unlike each other: whose scores set the threshold, and what a site drifts from."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.errors import ConfigError
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.once import score_file
from dtfl_app.evaluation.saved_model import evaluate_file, find_model
from tests.support.station import SITES, write_station
from tests.support.station_runs import Station

NOISE = {"north": 0.02, "south": 0.2, "west": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three stations of 3,000 minutes whose sensors are of unlike quality."""
    files = write_station(tmp_path_factory.mktemp("unlike"), rows=3000)
    for place, (name, noise) in enumerate(NOISE.items()):
        told, rng = pd.read_csv(files / f"{name}.csv"), np.random.default_rng(place)
        told["Q"] += noise * 5 * rng.normal(size=len(told))
        told["Tank 1 [m]"] += noise * rng.normal(size=len(told))
        told.round(3).to_csv(files / f"{name}.csv", index=False)
    return files


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    station = Station(folder, tmp_path_factory.mktemp("results"))
    return {
        whose: station.run(
            strategy="fedavg", rounds=2, twin__kind="none", detector__thresholds=whose,
            detector__false_alarm_rate=0.01,
        )
        for whose in ("federated", "site")
    }  # fmt: skip


def scored(run, data, site):
    options = DetectionOptions(site=site, every_step=True)
    detection, lines = score_file(read_folder(run.path / "deploy" / "fedavg"), options, data)
    return detection, [step for step in map(json.loads, lines) if "event" not in step]


def rates(run, folder):
    found = {}
    for site in SITES:
        detection, _ = scored(run, folder / f"{site}.csv", site)
        found[site] = detection.counts.alarms / detection.counts.steps
    return found


def test_the_model_is_the_same_and_only_thresholds_differ(runs):
    first, second = (run.model("fedavg") for run in runs.values())

    assert all(np.array_equal(first.params[key], second.params[key]) for key in first.params)
    assert (first.calibration.own, second.calibration.own) == (False, True)


def test_each_site_keeps_the_rate_by_its_own_threshold_and_the_noisiest_sets_the_common_one(
    runs, folder
):
    """1% wanted, of training rows: 3,000 a site, whose own rate is told to within 0.5%."""
    common, own = rates(runs["federated"], folder), rates(runs["site"], folder)

    assert common["north"] == common["south"] == 0.0 and common["west"] > 0.015
    assert all(rate == pytest.approx(0.01, abs=0.008) for rate in own.values())
    assert own["south"] > 0.0


def test_the_server_judges_a_site_s_file_as_its_gateway_does(runs, folder):
    for name in ("north", "west"):
        data = folder / f"{name}.csv"
        run, path = find_model(runs["site"].path)
        evaluated = evaluate_file(run, path, data).alarms
        _, steps = scored(runs["site"], data, name)

        detected = np.array([step["score"] / step["threshold"] for step in steps])
        # The threshold is one of these scores, which torch and ONNX round apart.
        clear = np.abs(detected - 1.0) > 1e-4
        alarms = np.array([step["alarm"] for step in steps])
        assert (evaluated["alarm"].to_numpy() == alarms)[clear].all() and clear.sum() > 2900
        np.testing.assert_allclose(evaluated["score"], detected, rtol=1e-4)


@pytest.mark.parametrize("whose", ["federated", "site"])
def test_no_site_drifts_from_itself_on_its_own_training_file(runs, folder, whose):
    for site in SITES:
        detection, _ = scored(runs[whose], folder / f"{site}.csv", site)

        assert detection.scorer.drift.under_way == set()
        assert detection.scorer.drift.distances()["smoothed"] < 0.2


def test_a_site_drifts_from_itself_and_not_from_all(runs, folder):
    """The readings of the noisiest station at the quietest one's gateway."""
    detection, _ = scored(runs["federated"], folder / "west.csv", "north")

    assert "smoothed" in detection.scorer.drift.under_way


def test_an_unknown_site_is_an_error_that_names_those_that_are_known(runs, folder):
    with pytest.raises(ConfigError, match="--site nosuch: the model knows north, south, west"):
        scored(runs["federated"], folder / "north.csv", "nosuch")


def test_a_state_of_before_sites_were_compared_with_themselves_goes_on(runs, folder):
    """Its alarms and windows go on; what it had for drift is of another comparison."""
    detection, _ = scored(runs["federated"], folder / "north.csv", "north")
    state = json.loads(json.dumps(detection.scorer.state()))
    del state["drift"]["own"]
    again, _ = scored(runs["federated"], folder / "north.csv", "north")

    again.scorer.restore(state)

    assert again.scorer.counts == detection.scorer.counts
    step = again.scorer.step(2 * 10**18, np.array([4.0, 20.0, 0.0]), "")
    assert step.drift == ()


def test_a_site_without_scores_of_its_own_has_everybody_s_threshold(runs):
    calibration = runs["site"].model("fedavg").calibration

    assert calibration.at("nosuch") is calibration
    pooled = replace(calibration, own=False)
    assert calibration.thresholds(0.01).tolist() == pooled.thresholds(0.01).tolist()
