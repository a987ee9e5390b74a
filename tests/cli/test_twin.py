"""dtfl twin on the command line."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from dtfl_app.cli import twin
from dtfl_app.cli.twin import twin_app
from twin.base import Scenario
from twin.ctown.calibrate import calibrate
from twin.ctown.channels import SCADA
from twin.ctown.defaults import default_plant
from twin.ctown.plant import PlantModel
from twin.ctown.simulate import CTownTwin
from twin.recorded import read_series


def run(*words: object) -> Result:
    return CliRunner().invoke(twin_app, [str(word) for word in words])


@pytest.fixture(scope="module")
def scada() -> pd.DataFrame:
    """Three weeks of a plant that uses a fifth more water than the default one."""
    return CTownTwin(default_plant().scaled(demand=1.2)).simulate(Scenario("site", 21 * 24, 1))


@pytest.fixture
def parquet(scada: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "scada.parquet"
    scada.to_parquet(path)
    return path


def test_simulate_writes_the_series_and_tells_its_speed(tmp_path):
    out, cache = tmp_path / "new" / "twin.parquet", tmp_path / "cache"
    words = ("simulate", "--scenarios", 2, "--hours", 48, "--families", "fault", "--workers", 1)

    first = run(*words, "--out", out, "--cache", cache)
    again = run(*words, "--out", tmp_path / "again.parquet", "--cache", cache)

    assert first.exit_code == 0, first.output
    assert "2 scenarios, 96 rows, simulated at" in first.stdout
    assert "simulated hours per second" in first.stdout
    series = read_series(out, SCADA)
    assert len(series) == 96
    assert "from the cache" in again.stdout
    assert (tmp_path / "again.parquet").read_bytes() == out.read_bytes()


def test_calibrate_writes_a_plant_that_the_other_commands_take(parquet, tmp_path, monkeypatch):
    """The site uses 1.2 times the default water; calibration finds it, and the calibrated twin
    stands nearer to the site than the default one."""
    monkeypatch.setattr(twin, "calibrate", partial(calibrate, snapshots=24, trial_h=0))
    out = tmp_path / "plant.json"

    fitted = run("calibrate", parquet, "--out", out)
    near = run("compare", parquet, "--plant", out, "--out", tmp_path / "near.csv")
    far = run("compare", parquet, "--out", tmp_path / "far.csv")

    assert (fitted.exit_code, near.exit_code, far.exit_code) == (0, 0, 0), fitted.output
    assert "mean demand" in fitted.stdout
    plant = PlantModel.from_json(out.read_text())
    base = default_plant().demands["DMA1"].mean_lps
    assert plant.demands["DMA1"].mean_lps == pytest.approx(1.2 * base, rel=0.03)
    ks = [pd.read_csv(tmp_path / f"{name}.csv")["ks"].mean() for name in ("near", "far")]
    assert ks[0] < ks[1]


def test_compare_prints_every_channel_and_the_summary(parquet):
    shown = run("compare", parquet, "--hours", 400)

    assert shown.exit_code == 0, shown.output
    assert all(name in shown.stdout for name in SCADA.names)
    assert "mean Kolmogorov-Smirnov distance" in shown.stdout
    assert "two-sample forest AUC" in shown.stdout


def test_a_batadal_style_csv_is_read_as_it_is(scada, tmp_path):
    path = tmp_path / "scada.csv"
    table = scada[SCADA.names].assign(DATETIME=scada["time"].dt.strftime("%d/%m/%y %H"))
    table.to_csv(path, index=False)

    shown = run("compare", path, "--hours", 400)

    assert shown.exit_code == 0, shown.output


def test_a_labelled_csv_is_read_as_it_is(scada, tmp_path):
    path = tmp_path / "scada.csv"
    scada.to_csv(path, index=False)

    assert run("compare", path, "--hours", 400).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("simulate", "--out", "x.parquet", "--families", "storm"), "event families ['storm']"),
        (("simulate", "--out", "x.parquet", "--network", "gone.inp"), "gone.inp: does not exist"),
        (("simulate", "--out", "x.parquet", "--plant", "gone.json"), "gone.json: cannot be read"),
        (("compare", "gone.csv"), "gone.csv: cannot be read"),
        (("compare", "gone.parquet"), "gone.parquet: cannot be read"),
        (("calibrate", "bad.csv", "--out", "x.json"), "columns"),
        (("compare", "bad.csv", "--plant", "bad.json"), "bad.json: not a plant model"),
        (("simulate", "--out", "bad.csv/x.parquet"), "its folder cannot be made"),
        (("simulate", "--out", "x.parquet", "--plant", "a", "--network", "b"), "give one"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_code_2(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("a,b\n1,2\n")
    Path("bad.json").write_text("{}")

    failed = run(*words)

    assert failed.exit_code == 2
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1
    assert message in failed.stderr
    assert not Path("x.parquet").exists()


def test_calibration_on_abnormal_rows_is_refused(scada, tmp_path):
    path = tmp_path / "attacked.parquet"
    scada.assign(label=1).to_parquet(path)

    failed = run("calibrate", path, "--out", tmp_path / "x.json")

    assert failed.exit_code == 2
    assert "504 of 504 rows are labelled abnormal" in failed.stderr
