"""Sites that are small or lopsided, on Flower's real engine, beside healthy ones."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import FederationError
from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.evaluation.saved_model import evaluate_file, find_model
from dtfl_app.results.lines import read_lines
from dtfl_app.results.saved_models import load_model
from tests.support.places import REPOSITORY
from tests.support.station import STATION, station_frame

SETTINGS = {
    "dataset": "files",
    "strategy": "fedavg",
    "rounds": 2,
    "run-name": "run",
    "detector.hidden": 16,
    "detector.latent": 4,
    "train.epochs": 1,
}
REFUSED = ("abnormal", "one", "seven")


def site(name: str) -> pd.DataFrame:
    """The file of a site that has what its name says; 400 minutes if that says nothing else."""
    rows = {"one": 1, "seven": 7}.get(name, 400)
    surge = slice(100, 150) if name == "mixed" else None
    frame = station_frame(len(name), rows=rows, surge=surge)
    if name in ("abnormal", "unlabelled"):
        frame["flag"] = {"abnormal": 1, "unlabelled": -1}[name]
    if name == "flowless":
        frame["Q"] = np.nan
    return frame


def play(engine: SuperLink, folder: Path, names: tuple[str, ...]) -> list[str]:
    files = folder / "files"
    files.mkdir()
    (files / "schema.toml").write_text(STATION)
    for name in names:
        site(name).to_csv(files / f"{name}.csv", index=False)
    station_frame(9, 400, surge=slice(200, 240)).to_csv(files / "judge.csv", index=False)
    places = {"data.dir": files, "results-dir": folder, "cache-dir": folder / "cache"}
    chosen = {
        **SETTINGS,
        **{key: str(path) for key, path in places.items()},
        "data.evaluation-file": "judge.csv",
        "sites": len(names),
    }
    return list(simulate(engine, REPOSITORY, chosen, sites=len(names), actors=2))


@pytest.fixture(scope="module")
def finished(engine: SuperLink, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lopsided")
    play(engine, folder, ("flowless", "mixed", "normal", "unlabelled", *REFUSED))
    return folder / "run"


def test_sites_with_too_little_to_learn_from_are_refused_by_name_before_round_1(
    finished: Path,
) -> None:
    events = map(json.loads, (finished / "events.jsonl").read_text().splitlines())

    reasons = sorted(event["reason"] for event in events if event["event"] == "left-out")

    assert len(reasons) == 3
    for name, reason in zip(REFUSED, reasons, strict=True):
        assert f"site {name}: it has fewer than 30 windows of normal operation" in reason


def test_the_others_train_and_calibrate_on_what_they_have(finished: Path) -> None:
    """A fifth of 400 rows each; of the mixed site that of its 350 normal ones, 20 and 50."""
    lines = read_lines(finished / "metrics.jsonl")
    model = load_model(finished / "models" / "fedavg.safetensors")

    assert [(line.sites, line.refused) for line in lines[1:]] == [(4, 0), (4, 0)]
    assert all(np.isfinite(line.loss) for line in lines[1:])
    metrics = lines[-1].metrics
    assert metrics is not None and metrics.events_found == 1
    assert np.isfinite(metrics.threshold)
    assert all(np.isfinite(weights).all() for weights in model.params.values())
    counts = {name: sketches[0].count for name, sketches in model.calibration.sites.items()}
    assert counts == {"flowless": 80, "mixed": 70, "normal": 80, "unlabelled": 80}


@pytest.mark.parametrize(
    ("name", "steps", "events"),
    [
        ("one", 1, 0),
        ("seven", 7, 0),
        ("normal", 400, 0),
        ("abnormal", 400, 1),
        ("flowless", 400, 0),
    ],
)
def test_the_model_judges_such_files(
    finished: Path, tmp_path: Path, name: str, steps: int, events: int
) -> None:
    site(name).to_csv(tmp_path / "site.csv", index=False)

    found = evaluate_file(*find_model(finished), tmp_path / "site.csv")

    assert len(found.alarms) == steps
    assert np.isfinite(found.alarms[["score", "threshold", "p_value"]].to_numpy()).all()
    assert found.metrics is not None and found.metrics.events == events
    assert np.isfinite(found.metrics.false_alarm_rate) == (name != "abnormal")
    assert np.isfinite(found.metrics.recall) == (name == "abnormal")


def test_an_unlabelled_file_has_alarms_and_no_figures(finished: Path, tmp_path: Path) -> None:
    site("unlabelled").to_csv(tmp_path / "site.csv", index=False)

    found = evaluate_file(*find_model(finished), tmp_path / "site.csv")

    assert (len(found.alarms), found.metrics) == (400, None)


def test_a_run_of_which_no_site_is_left_ends_with_the_reason(
    engine: SuperLink, tmp_path: Path
) -> None:
    told = "3 of 3 sites cannot take part and 2 are needed.* fewer than 30 windows of normal"

    with pytest.raises(FederationError, match=told):
        play(engine, tmp_path, REFUSED)
