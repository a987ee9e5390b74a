"""A data set and a twin of somebody's own beside an app, in Flower's processes and a bench's."""

import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from tests.support.places import REPOSITORY

GRID = """
name = "tanks"
title = "Tanks"
sites = 2
seeds = [0]
targets = [0.5]
baselines = true

[settings]
dataset = "tank_sites:TankSites"
dataset-options = "minutes=480"
rounds = 1
twin.kind = "two_tanks:TwoTanks"
twin.scenarios = 2
twin.hours = 24
detector.hidden = 16
detector.latent = 2

[[row]]
name = "CWA"
settings = { strategy = "cwa" }
"""


@pytest.mark.filterwarnings("ignore")
def test_a_bench_runs_on_a_data_set_and_a_twin_that_lie_beside_the_app(tmp_path, monkeypatch):
    """The sites' processes, the twin's and the bench's all find the modules in the app's folder."""
    place, invoke = tmp_path / "tanks", CliRunner().invoke
    assert invoke(app, ["new", "app", str(place)]).exit_code == 0
    for name in ("tank_sites.py", "two_tanks.py"):
        shutil.copy(REPOSITORY / "dtfl_app" / "cli" / "thin" / name, place)
    (place / "tanks.toml").write_text(GRID)
    monkeypatch.chdir(place)

    done = invoke(
        app, ["bench", "tanks.toml", "--results", "out", "--work", "work", "--cache", "c"]
    )

    assert done.exit_code == 0, done.output
    cells = pd.read_parquet("out/tanks_cells.parquet")
    assert set(cells["kind"]) == {"federated", "baseline"}
    assert "s" not in cells
