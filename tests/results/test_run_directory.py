import json
import math
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import ConfigError, ResultsError
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.results.run_events import RunEvent
from dtfl_app.results.saved_models import SavedModel, load_model
from tests.support.calibrations import calibrated_at
from tests.support.figures import figures, line_of
from twin import files
from twin.files import write_atomically

SETTINGS = {"rounds": 2, "strategy": "cwa", "train.lr": 0.001, "stop-at-target": False}
SPEC = ModelSpec("autoencoder", features=1, hidden=2, latent=1)
MODEL = SavedModel(
    spec=SPEC,
    params=get_params(build_model(SPEC, 0)),
    scaler={},
    physics={},
    calibration=calibrated_at(0.5),
    evidence="instant",
    false_alarm_rate=0.005,
    smoothing=1,
    features=("level",),
    schema="abc",
)


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "first", SETTINGS, target=0.8)


def test_the_settings_and_versions_are_there_from_the_start(run):
    about = json.loads((run.path / "config.json").read_text())

    assert about["settings"] == SETTINGS
    assert about["versions"]["torch"] == version("torch")
    assert about["versions"]["flwr"] == version("flwr")
    assert about["python"] == platform.python_version()


def test_a_run_says_when_it_started_and_on_what(run):
    about = json.loads((run.path / "config.json").read_text())

    assert abs(datetime.fromisoformat(about["started"]) - datetime.now(UTC)) < timedelta(hours=1)
    assert about["hardware"].startswith(f"{os.cpu_count()} cores {platform.machine()}, ")
    assert about["system"] == platform.platform()


def test_each_run_has_an_identity_and_says_which_seed_governs_what(tmp_path):
    settings = {"seed": 3, "data.seed": 7}

    one, two = (RunDirectory(tmp_path / name, settings, target=0.8) for name in ("a", "b"))

    about = json.loads((one.path / "config.json").read_text())
    assert re.fullmatch("[0-9a-f]{16}", one.run)
    assert one.run == about["run"] != two.run
    assert about["seeds"]["first weights"] == about["seeds"]["batches at the sites"] == 3
    assert about["seeds"]["simulated plants"] == about["seeds"]["scenarios of the twin"] == 7


def test_times_stand_apart_from_what_repeats(run):
    run.record(line_of("cwa", 1, 0.6, seconds=1.5))

    assert "seconds" not in (run.path / "metrics.jsonl").read_text()
    timing = {"strategy": "cwa", "round": 1, "seconds": 1.5}
    assert json.loads((run.path / "timings.jsonl").read_text()) == timing
    assert [json.loads(line)["round"] for line in run.history] == [1]
    assert run.timings == [json.dumps(timing)]


def test_a_folder_that_takes_no_files_is_one_clear_error(tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")

    with pytest.raises(ConfigError, match=r"results cannot be written there .* with results-dir"):
        RunDirectory(tmp_path / "results" / "first", SETTINGS, target=0.8)


BEGIN_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from dtfl_app.core.errors import ConfigError, ResultsError
from dtfl_app.results.run_directory import RunDirectory

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    RunDirectory(Path(sys.argv[1]), {}, 0.8)
except ConfigError as error:
    print(error)
"""


def test_a_full_disk_is_one_clear_error_before_any_work(tmp_path):
    """The system takes 100 bytes of config.json and then no more."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN_ON_A_FULL_DISK, tmp_path / "run"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "run: results cannot be written there (" in done.stdout
    assert list((tmp_path / "run").iterdir()) == []


def test_lines_are_written_as_they_come(run):
    """A run that is broken off leaves all it had."""
    run.record(line_of("cwa", 0, 0.5))
    assert len(read_lines(run.path / "metrics.jsonl")) == 1
    run.record(line_of("cwa", 1, 0.6))

    assert read_lines(run.path / "metrics.jsonl")[1] == line_of("cwa", 1, 0.6)


def test_a_folder_that_holds_a_run_is_not_written_over(run):
    with pytest.raises(ConfigError, match=r"first already holds a run; choose another run-name"):
        RunDirectory(run.path, SETTINGS, target=0.8)


def test_the_refusal_offers_to_go_on_with_the_run(run):
    with pytest.raises(ConfigError, match=re.escape(f"go on with it (resume={run.path})")):
        RunDirectory(run.path, SETTINGS, target=0.8)


def test_an_empty_folder_is_taken(tmp_path):
    RunDirectory(tmp_path, SETTINGS, target=0.8)

    assert (tmp_path / "config.json").exists()


def test_models_and_alarms_are_stored_by_strategy(run):
    alarms = pd.DataFrame({"time": ["2024-01-01"], "score": [0.25], "alarm": [True]})

    run.save_model("cwa", MODEL)
    run.save_alarms("cwa", alarms)

    assert load_model(run.path / "models" / "cwa.safetensors").features == ("level",)
    pd.testing.assert_frame_equal(pd.read_csv(run.path / "alarms" / "cwa.csv"), alarms)


def test_a_strategy_of_ones_own_gets_a_file_name_every_system_takes(run):
    run.save_model("my_pkg.mine:Mine", MODEL)

    assert [p.name for p in (run.path / "models").iterdir()] == ["my_pkg.mine.Mine.safetensors"]


def test_figures_by_group_are_stored_at_once_and_stand_in_the_summary(run):
    """An undefined figure is null in JSON."""
    run.record(line_of("cwa", 0, 0.5))
    run.record(line_of("fedavg", 0, 0.5))
    groups = {"simulated": figures(0.9), "held-out": figures(0.6, roc_auc=math.nan)}

    run.save_groups("cwa", groups)
    stored = json.loads((run.path / "groups.json").read_text())
    with_groups, without = run.finish("a plant")

    assert stored["cwa"]["simulated"]["balanced_accuracy"] == 0.9
    assert stored["cwa"]["held-out"]["roc_auc"] is None
    assert with_groups.groups == groups
    assert without.groups == {}
    assert with_groups.to_mapping()["groups"] == stored["cwa"]


def test_the_end_gives_a_summary_and_a_picture(run):
    for number, accuracy in enumerate((0.5, 0.85)):
        run.record(line_of("cwa", number, accuracy))

    summaries = run.finish("a plant")

    stored = json.loads((run.path / "summary.json").read_text())
    assert stored == [summary.to_mapping() for summary in summaries]
    assert stored[0]["rounds_to_target"] == 1
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_end_of_a_run_without_an_evaluation_has_a_summary_all_the_same(run):
    run.record(line_of("cwa", 0, None))

    run.finish("a plant")

    assert json.loads((run.path / "summary.json").read_text())[0]["final"] == {}


def test_what_happens_is_noted_line_by_line(run):
    run.note(RunEvent("late", "cwa", 3, "site-01"))
    run.note(RunEvent("away", "cwa", 4, "site-02"))

    lines = (run.path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["late", "away"]


def test_the_privacy_account_is_stored(run):
    run.save_privacy({"epsilon": {"cwa": {"site-01": 1.5}}, "releases": {"cwa": {"site-01": 2}}})

    stored = json.loads((run.path / "privacy.json").read_text())
    assert stored["epsilon"]["cwa"]["site-01"] == 1.5
    assert run.privacy_releases() == {"cwa": {"site-01": 2}}


def test_the_order_of_sites_leaves_no_trace(tmp_path):
    """Sites answer in any order; files of equal runs are equal."""
    one, two = (RunDirectory(tmp_path / name, SETTINGS, target=0.8) for name in ("a", "b"))
    one.save_quality({"site-01": {}, "site-02": {}})
    two.save_quality({"site-02": {}, "site-01": {}})

    assert (one.path / "quality.json").read_bytes() == (two.path / "quality.json").read_bytes()


def test_a_model_has_the_same_bytes_in_every_process(run, tmp_path):
    script = (
        "import sys, pathlib\n"
        "from tests.results.test_run_directory import MODEL\n"
        "from dtfl_app.results.saved_models import save_model\n"
        "save_model(pathlib.Path(sys.argv[1]), MODEL)\n"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", script, tmp_path / name], check=True)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    """The disk is full when the file is flushed: the old content stays, nothing lies beside it."""
    path = tmp_path / "model"
    write_atomically(path, b"old")

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_settings_that_json_cannot_say_are_refused(tmp_path):
    """NaN is no JSON: other readers would stumble over it."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDirectory(tmp_path / "x", {"lr": np.nan}, target=0.8)


def test_a_line_that_cannot_be_written_says_how_to_go_on(run):
    """A folder in the place of the file stands for a disk that takes no more."""
    (run.path / "metrics.jsonl").unlink(missing_ok=True)
    (run.path / "metrics.jsonl").mkdir()

    with pytest.raises(ResultsError, match=rf"metrics\.jsonl cannot be .* resume={run.path}"):
        run.record(RoundLine("cwa", 1))


def test_a_summary_that_cannot_be_written_says_so(run):
    (run.path / "quality.json").mkdir()

    with pytest.raises(ResultsError, match=r"quality\.json cannot be written"):
        run.save_quality({})
