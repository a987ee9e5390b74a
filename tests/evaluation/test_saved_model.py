"""A saved model on a file: the run's own figures again, or a clear error."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.evaluation.saved_model import evaluate_file, find_model
from dtfl_app.results.episodes import alarm_episodes
from dtfl_app.sites.batadal import DATASET04
from tests.support.runs import Run

EVERYTHING = "instant,smoothed,plc,pump,balance"


@pytest.fixture(scope="module")
def run(launcher) -> Run:
    """Two rounds of two methods, judged by all kinds of evidence."""
    return launcher.run(strategy="fedavg,cwa", rounds=2, detector__evidence=EVERYTHING)


@pytest.fixture(scope="module")
def dataset04(data_dir):
    return data_dir / "batadal" / DATASET04


def rows_of(path, rows):
    return pd.read_csv(path).iloc[rows]


def test_the_evaluation_file_gives_the_figures_and_alarms_of_the_run(run, dataset04):
    folder, model = find_model(run.path, "cwa")

    found = evaluate_file(folder, model, dataset04)

    assert found.metrics == run.lines("cwa")[-1].metrics
    stored = pd.read_csv(run.path / "alarms" / "cwa.csv")
    np.testing.assert_array_equal(found.alarms["score"], stored["score"])
    np.testing.assert_array_equal(found.alarms["alarm"], stored["alarm"])
    assert set(found.alarms["evidence"]) <= set(EVERYTHING.split(","))


def test_physical_evidence_finds_every_attack_of_an_untrained_detector(run):
    """Two rounds of a model of width 16 learn next to nothing; the plant's laws hold without."""
    metrics = run.lines("fedavg")[0].metrics

    assert metrics.events_found == 7
    assert metrics.s > 0.9


def test_p_values_say_the_same_as_alarms_at_rates_the_calibration_can_tell(run):
    stored = pd.read_csv(run.path / "alarms" / "cwa.csv")

    alarms = stored[stored["alarm"]]

    assert (alarms["p_value"] <= 0.005 + 1e-9).mean() > 0.9
    assert (stored.loc[~stored["alarm"], "p_value"] > 0.005 - 1e-9).all()


def test_rows_of_the_official_periods_are_labelled_without_a_flag_column(run, dataset04, tmp_path):
    path = tmp_path / "unflagged.csv"
    frame = rows_of(dataset04, slice(1700, 2100))
    frame.drop(columns=[c for c in frame.columns if "ATT_FLAG" in c]).to_csv(path, index=False)

    found = evaluate_file(*find_model(run.path, "cwa"), path)

    assert found.metrics is not None
    assert found.metrics.events == 2


def test_a_file_without_labels_has_alarms_and_no_figures(run, dataset04, tmp_path):
    frame = rows_of(dataset04, slice(1000, 1200)).rename(columns=str.strip)
    frame["DATETIME"] = pd.date_range("2020-01-01", periods=200, freq="h").astype(str)
    path = tmp_path / "elsewhere.csv"
    frame.drop(columns="ATT_FLAG").to_csv(path, index=False)

    found = evaluate_file(*find_model(run.path, "cwa"), path)

    assert found.metrics is None
    assert len(found.alarms) == 200
    assert found.alarms["score"].notna().all()


def test_a_model_file_is_as_good_as_its_run(run):
    path = run.path / "models" / "cwa.safetensors"

    assert find_model(path) == (run.path, path)


@pytest.mark.parametrize("strategy", ["", "dtml"])
def test_a_run_with_several_models_asks_which(run, strategy):
    with pytest.raises(ConfigError, match=r"holds models \['cwa', 'fedavg'\].*--strategy"):
        find_model(run.path, strategy)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds models none"):
        find_model(tmp_path)


def test_a_file_of_another_layout_is_refused_by_name(run, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("DATETIME,L_T1\n2020-01-01,2.0\n")

    with pytest.raises(DataError, match=r"other\.csv"):
        evaluate_file(*find_model(run.path, "cwa"), path)


def test_the_command_prints_the_figures_and_stores_what_it_found(run, dataset04, tmp_path):
    out = tmp_path / "judged"

    arguments = ["evaluate", "--model", str(run.path), "--strategy", "cwa", "--data", dataset04]
    result = CliRunner().invoke(app, [*map(str, arguments), "--out", str(out)])

    assert result.exit_code == 0, result.output
    metrics = run.lines("cwa")[-1].metrics
    assert f"{metrics.s:.4f}" in result.output
    assert "attack-7" in result.output
    stored = pd.read_csv(out / "alarms.csv", parse_dates=["time"])
    episodes = alarm_episodes(stored)
    strongest = max(episodes, key=lambda episode: episode.peak)
    assert f"{stored['alarm'].sum()} with an alarm in {len(episodes)} episodes" in result.output
    assert f"{strongest.begin:%Y-%m-%d %H:%M}" in result.output
    assert f"{strongest.peak:.3g}" in result.output
    assert json.loads((out / "metrics.json").read_text())["s"] == metrics.s
    assert len(pd.read_csv(out / "alarms.csv")) == 4177


def test_the_command_says_what_is_wrong_and_fails(run, tmp_path):
    arguments = ["evaluate", "--model", str(run.path), "--strategy", "cwa", "--data"]

    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "none.csv")])

    assert result.exit_code != 0
    assert "none.csv" in result.output
