import json

import pytest

from dtfl_app.bench.pictures import save_timeline
from dtfl_app.bench.store import Store, finished_strategies
from dtfl_app.results.lines import read_lines
from tests.bench.stored import ORIGIN, made_run


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path / "run", {"cwa": [0.5, 0.9], "mine:Own": [0.6, 0.7]})


def test_a_cell_is_the_folder_of_a_run_with_one_strategy(tmp_path, run):
    (run / "alarms" / "mine:Own.csv").rename(run / "alarms" / "mine.Own.csv")
    (run / "models" / "mine:Own.safetensors").rename(run / "models" / "mine.Own.safetensors")
    (run / "groups.json").write_text(json.dumps({"cwa": {"a": {}}, "mine:Own": {"b": {"s": 1}}}))
    store = Store(tmp_path)

    store.keep("d1", run, "mine:Own", ORIGIN)

    assert "d1" in store
    assert [line.round for line in read_lines(store.path("d1") / "metrics.jsonl")] == [0, 1]
    assert {line["strategy"] for line in store.lines("d1")} == {"mine:Own"}
    assert json.loads((store.path("d1") / "summary.json").read_text()) == [{"strategy": "mine:Own"}]
    assert store.groups("d1") == {"b": {"s": 1}}
    assert store.about("d1")["commit"] == "abc1234"
    assert store.about("d1")["sites"]["one"]["balanced_accuracy"] == 1.0
    assert len(store.alarms("d1")) == 4


def test_a_cell_that_cannot_be_stored_whole_is_not_there(tmp_path, run):
    (run / "models" / "cwa.safetensors").unlink()
    store = Store(tmp_path)

    with pytest.raises(FileNotFoundError):
        store.keep("d1", run, "cwa", ORIGIN)

    assert "d1" not in store
    assert list((tmp_path / "cells").iterdir()) == []


def test_a_strategy_is_finished_when_its_alarms_are_there(run):
    assert finished_strategies(run, ["fedavg", "cwa"]) == ["cwa"]


def test_a_model_that_sites_judge_is_stored_without_alarms(tmp_path, run):
    """Its rates say that it is finished; by site nothing is known of its rows."""
    (run / "alarms" / "cwa.csv").unlink()
    assert finished_strategies(run, ["cwa"]) == []
    (run / "calibration.json").write_text(json.dumps([{"strategy": "cwa", "wanted": 0.01}]))
    store = Store(tmp_path)

    assert finished_strategies(run, ["cwa"]) == ["cwa"]
    store.keep("d1", run, "cwa", ORIGIN)

    assert store.about("d1")["sites"] == {}
    assert store.alarms("d1")["event"].tolist() == []
    assert not save_timeline(store.alarms("d1"), "cwa", tmp_path / "timeline.png")
