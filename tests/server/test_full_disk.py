"""The disk is full when a run stores its last model: the reason is told, what was there is kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import ResultsError
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.results.saved_models import load_model
from tests.results.test_run_directory import MODEL, SETTINGS
from tests.support.full_disk import full_beyond
from tests.support.station import write_station
from tests.support.station_runs import Station


def test_a_run_whose_last_model_finds_no_room_says_so_and_leaves_what_it_had(tmp_path, caplog):
    """Every file up to the model's size less one byte is taken; the model is the first beyond."""
    station = Station(write_station(tmp_path / "files"), tmp_path / "results")
    settings = {
        "strategy": "fedavg",
        "rounds": 1,
        "checkpoint_every": 0,
        "twin__kind": "none",
        "detector__hidden": 64,
    }
    whole = station.run(**settings).path
    size = (whole / "models" / "fedavg.safetensors").stat().st_size
    caplog.clear()

    with full_beyond(size - 1), pytest.raises(ResultsError, match=r"fedavg\.safetensors cannot"):
        station.run(**settings)

    left = tmp_path / "results" / "run-2"
    assert "File too large" in caplog.text and f"resume={left}" in caplog.text
    assert not (left / "models").exists()
    assert not (left / "deploy").exists()
    assert (left / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_model_that_finds_no_room_leaves_the_one_before(tmp_path):
    run = RunDirectory(tmp_path / "run", SETTINGS, target=0.8)
    path = run.save_model("cwa", MODEL)
    large = replace(MODEL, params={"layers.0.weight": np.ones((100, 100), np.float32)})

    with full_beyond(20_000), pytest.raises(ResultsError, match=r"Make room.* resume="):
        run.save_model("cwa", large)

    assert [file.name for file in path.parent.iterdir()] == ["cwa.safetensors"]
    assert load_model(path).features == ("level",)


def test_alarms_and_the_picture_at_the_end_say_so_too(tmp_path):
    run = RunDirectory(tmp_path / "run", SETTINGS, target=0.8)
    (run.path / "metrics.jsonl").touch()
    alarms = pd.DataFrame({"time": ["2024-01-01"] * 999, "score": 0.25, "alarm": True})

    with full_beyond(1000):
        with pytest.raises(ResultsError, match=r"alarms/cwa\.csv cannot be written"):
            run.save_alarms("cwa", alarms)
        with pytest.raises(ResultsError, match=r"curves\.png cannot be written"):
            run.finish("a run")

    assert not list(run.path.glob("alarms*")) + list(run.path.glob("curves*"))
