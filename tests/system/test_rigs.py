"""Rigs that run at points of their own, on Flower's real engine: what their scaling brings."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.settings import Value
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import Following, follow
from dtfl_app.detection.once import score_file
from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.results.lines import read_lines
from dtfl_app.results.saved_models import load_model
from tests.support.places import REPOSITORY
from tests.support.rigs import RIGS, rig_frame, write_rigs

SCALINGS = ("federated", "site", "recording")
BASELINE = 100
SETTINGS: dict[str, Value] = {
    "dataset": "files",
    "sites": len(RIGS),
    "strategy": "fedavg",
    "rounds": 3,
    "checkpoint-every": 2,
    "data.evaluation-file": "judge.csv",
    "data.baseline": BASELINE,
    "detector.hidden": 16,
    "detector.latent": 1,
    "train.epochs": 5,
    "train.batch-size": 64,
    "train.lr": 3e-3,
    "wire.upload-precision": "int8",
    "wire.download-precision": "int8",
}


def play(engine: SuperLink, folder: Path, scaling: str, **more: str) -> Path:
    places = {"data.dir": str(folder / "files"), "results-dir": str(folder), "run-name": scaling}
    chosen: dict[str, Value] = {**SETTINGS, **places, "data.scaling": scaling, **more}
    list(simulate(engine, REPOSITORY, chosen, sites=len(RIGS), actors=2))
    return folder / scaling


@pytest.fixture(scope="module")
def runs(engine: SuperLink, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rigs")
    write_rigs(folder / "files")
    return {scaling: play(engine, folder, scaling) for scaling in SCALINGS}


@pytest.fixture(scope="module")
def rig_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A take of the fourth rig with a gap within its baseline, one behind it, and then another."""
    first, second = (rig_frame(3, take, 260, fault=slice(200, 230)) for take in (4, 5))
    path = tmp_path_factory.mktemp("takes") / "rig-4.csv"
    pd.concat([first.drop(index=[*range(40, 50), *range(150, 155)]), second]).to_csv(
        path, index=False
    )
    return path


@pytest.fixture
def log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> pytest.LogCaptureFixture:
    """What a gateway logs, whatever an earlier test did to its log."""
    monkeypatch.setattr(logging.getLogger("dtfl.detect"), "propagate", True)
    caplog.set_level(logging.INFO, "dtfl.detect")
    return caplog


def model(run: Path) -> Path:
    return run / "models" / "fedavg.safetensors"


def steps(run: Path, data: Path, site: str) -> list[str]:
    options = DetectionOptions(site=site, every_step=True)
    _, lines = score_file(read_folder(run / "deploy" / "fedavg"), options, data)
    return list(lines)


def test_a_scaling_that_is_a_site_s_or_a_recording_s_own_finds_what_the_common_one_does_not(
    runs: dict[str, Path],
) -> None:
    """A common deviation is some twenty of a rig's own, and the fault six of these."""
    found = {name: read_lines(run / "metrics.jsonl")[-1].metrics for name, run in runs.items()}

    federated, site, recording = (found[name] for name in SCALINGS)
    assert federated is not None and site is not None and recording is not None
    assert federated.roc_auc < 0.65 and federated.f1 < 0.4
    assert site.roc_auc > 0.9 and site.f1 > 0.6
    assert recording.roc_auc > 0.9 and recording.f1 > 0.7


def test_a_run_taken_up_again_ends_with_the_same_bytes(
    engine: SuperLink, runs: dict[str, Path]
) -> None:
    run = runs["recording"]
    kept = [model(run), run / "metrics.jsonl", run / "alarms" / "fedavg.csv"]
    kept += sorted((run / "deploy" / "fedavg").glob("*.json"))
    before = {path: path.read_bytes() for path in kept if path.name != "manifest.json"}
    model(run).unlink()
    (checkpoint,) = (run / "checkpoints").glob("*-fedavg-000002*")

    play(engine, run.parent, "recording", resume=str(checkpoint))

    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_gateway_finds_what_the_server_finds(
    scaling: str, runs: dict[str, Path], rig_file: Path
) -> None:
    wanted = evaluate_file(runs[scaling], model(runs[scaling]), rig_file).alarms

    lines = [json.loads(line) for line in steps(runs[scaling], rig_file, "rig-4")]

    found = pd.DataFrame([line for line in lines if "event" not in line])
    assert len(found) == 505 - (2 * BASELINE if scaling == "recording" else 0)
    np.testing.assert_array_equal(pd.to_datetime(found["time"]), wanted["time"])
    np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-4, atol=1e-5)
    clear = np.abs(found["score"] / found["threshold"] - 1.0) > 1e-3
    assert (found["alarm"] == wanted["alarm"])[clear].all() and clear.sum() > 300


@pytest.mark.parametrize("scaling", ["site", "recording"])
def test_causes_are_told_in_the_channels_units(
    scaling: str, runs: dict[str, Path], rig_file: Path
) -> None:
    """The fourth rig has 80 bar, 1,200 L/s and 200 A, and 31 A more in a fault."""
    lines = [json.loads(line) for line in steps(runs[scaling], rig_file, "rig-4")]
    faulty = [line for line in lines if "event" not in line][-60:-30]

    causes = {cause["channel"]: cause for line in faulty for cause in line["channels"]}

    for channel, usual in {"pressure": 80, "flow": 1200, "current": 200}.items():
        for told in ("reading", "expected"):
            assert causes[channel][told] == pytest.approx(usual, rel=0.3)


def test_a_followed_file_restarts_its_baseline_with_the_recording_alone_whatever_stops_it(
    runs: dict[str, Path], rig_file: Path, tmp_path: Path
) -> None:
    """Every 61 rows another process goes on: within baselines, at gaps, and at the next take."""
    bundle = read_folder(runs["recording"] / "deploy" / "fedavg")
    options = DetectionOptions(site="rig-4", every_step=True)
    rows = rig_file.read_bytes().splitlines(keepends=True)
    following = Following(tmp_path / "grows.csv", tmp_path / "out.jsonl", until_idle=1e-9)

    for place in range(0, len(rows), 61):
        with following.data.open("ab") as file:
            file.write(b"".join(rows[place : place + 61]))
        detection = follow(bundle, options, following, lambda seconds: False)

    assert following.out.read_text().splitlines() == steps(runs["recording"], rig_file, "rig-4")
    assert (detection.counts.rows, detection.counts.baseline) == (505, 2 * BASELINE)


def test_a_parquet_file_is_scored_as_its_csv(
    runs: dict[str, Path], rig_file: Path, tmp_path: Path
) -> None:
    pd.read_csv(rig_file).to_parquet(tmp_path / "rig-4.parquet")

    for scaling in SCALINGS:
        found = steps(runs[scaling], tmp_path / "rig-4.parquet", "rig-4")
        assert found == steps(runs[scaling], rig_file, "rig-4")


def test_a_deployed_folder_holds_each_site_s_scaler_and_uses_the_pooled_one_elsewhere(
    runs: dict[str, Path], log: pytest.LogCaptureFixture
) -> None:
    bundle = read_folder(runs["site"] / "deploy" / "fedavg")
    Detection(bundle, DetectionOptions(), "readings.csv")

    assert "name this one with --site" in log.text
    assert sorted(bundle.scalers) == list(RIGS)
    assert bundle.scaling.at("rig-4").mean[0] == pytest.approx(80, abs=1)
    assert bundle.scaling.at("").mean[0] == pytest.approx(60, abs=1)
    kept = {name for name in load_model(model(runs["site"])).scaler if "/" not in name}
    assert kept == {"mean", "scale", "clip"} == set(load_model(model(runs["recording"])).scaler)


def test_a_file_that_ends_within_its_baseline_says_so(
    runs: dict[str, Path], rig_file: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    short = tmp_path / "short.csv"
    short.write_bytes(b"".join(rig_file.read_bytes().splitlines(keepends=True)[: BASELINE + 1]))
    bundle = read_folder(runs["recording"] / "deploy" / "fedavg")

    detection, lines = score_file(bundle, DetectionOptions(), short)

    assert list(lines) == []
    assert "its first 100 rows are taken as normal and not scored" in log.text
    assert "nothing is scored: the first 100 rows of a recording" in detection.no_step()
