"""Every strategy through Flower's simulation engine with Ray."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.cli.new import write_app
from dtfl_app.core.errors import FederationError
from dtfl_app.core.naming import file_name
from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.saved_models import load_model
from tests.support.places import REPOSITORY, SMALL
from tests.support.settings import keyed

EVERYTHING = "instant,smoothed,plc,pump,balance"
FLOWERS = "flwr.serverapp.strategy:FedYogi"
STRATEGIES = ["fedavg", "fedprox", "fedadam", "dtml", "fpf", "lpe", "cwa", "dtkd", "feddf", FLOWERS]


def run(
    engine: SuperLink,
    folder: Path,
    cache: Path,
    name: str,
    app: Path = REPOSITORY,
    **settings: object,
) -> list[str]:
    chosen = {
        **SMALL,
        "results-dir": str(folder),
        "cache-dir": str(cache),
        "run-name": name,
        **keyed(**settings),
    }
    return list(simulate(engine, app, chosen, sites=3, actors=2))


@pytest.fixture(scope="module")
def finished(engine: SuperLink, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    run(engine, folder, cache, "all", strategy=",".join(STRATEGIES))
    return folder / "all"


@pytest.fixture(scope="module")
def lines(finished: Path) -> list[RoundLine]:
    return read_lines(finished / "metrics.jsonl")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategy_runs_three_rounds_with_all_sites(strategy: str, lines: list[RoundLine]) -> None:
    mine = [line for line in lines if line.strategy == strategy]

    assert [line.round for line in mine] == [0, 1, 2, 3]
    assert [line.sites for line in mine[1:]] == [3, 3, 3]
    assert sum(line.refused for line in mine) == 0
    assert all(np.isfinite(line.loss) and line.site_steps > 0 for line in mine[1:])
    assert all(line.metrics is not None for line in mine)


def test_bytes_that_travelled_equal_bytes_of_the_shapes(
    finished: Path, lines: list[RoundLine]
) -> None:
    """Three sites, float32 parameters of p numbers, scaler of 2 x 43 + 1 float64 numbers.

    Down, round 1: 3 (4p + 8 * 87); later rounds 3 * 4p, for the scaler is kept. Up: 3 * 4p.
    """
    params = load_model(finished / "models" / "fedavg.safetensors").params
    model = sum(array.size for array in params.values()) * 4
    fedavg = [line for line in lines if line.strategy == "fedavg"]

    assert [line.bytes_up for line in fedavg] == [0, 3 * model, 3 * model, 3 * model]
    first = 3 * (model + 8 * 87)
    assert [line.bytes_down for line in fedavg] == [0, first, 3 * model, 3 * model]


def test_lpe_uploads_only_the_layers_above_the_twins(lines: list[RoundLine]) -> None:
    """By default only the last of the four layers: 32 x 43 weights and 43 biases."""
    lpe = [line for line in lines if line.strategy == "lpe"]

    assert [line.bytes_up for line in lpe[1:]] == [3 * 4 * (32 * 43 + 43)] * 3


def test_dtkd_sends_its_teacher_once(finished: Path, lines: list[RoundLine]) -> None:
    params = load_model(finished / "models" / "dtkd.safetensors").params
    model = 3 * 4 * sum(array.size for array in params.values())
    dtkd = [line for line in lines if line.strategy == "dtkd"]

    assert [line.bytes_down for line in dtkd[1:]] == [2 * model + 3 * 8 * 87, model, model]


def test_results_folder_is_complete(finished: Path) -> None:
    expected = {"config.json", "metrics.jsonl", "summary.json", "curves.png", "models", "alarms"}

    assert {*expected, "deploy"} <= {path.name for path in finished.iterdir()}
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {p.stem for p in (finished / "models").iterdir()} == set(map(file_name, STRATEGIES))
    assert {p.name for p in (finished / "deploy").iterdir()} == set(map(file_name, STRATEGIES))


def test_repeated_run_gives_equal_weights_from_the_cache_whatever_the_evidence(
    engine: SuperLink, finished: Path, cache: Path, tmp_path: Path
) -> None:
    """What raises an alarm has no part in training: every weight is the same."""
    before = sorted(path.name for path in cache.iterdir())

    log = run(
        engine, tmp_path, cache, "again", strategy="cwa", rounds=3, detector__evidence=EVERYTHING
    )

    again = load_model(tmp_path / "again" / "models" / "cwa.safetensors").params
    first = load_model(finished / "models" / "cwa.safetensors").params
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert sorted(path.name for path in cache.iterdir()) == before
    assert any("from the cache" in line for line in log)
    alarms = pd.read_csv(tmp_path / "again" / "alarms" / "cwa.csv")
    assert set(alarms["evidence"]) <= set(EVERYTHING.split(","))
    assert alarms.loc[alarms["alarm"], "evidence"].isin(["plc", "pump", "balance"]).any()
    rates = json.loads((tmp_path / "again" / "calibration.json").read_text())
    assert {rate["site"] for rate in rates} == {"plant-01", "plant-02", "plant-03"}
    # Plants differ, so a gateway says whose laws hold.
    physics = read_folder(tmp_path / "again" / "deploy" / "cwa").physics
    assert physics is not None
    assert set(physics.plants) == {"plant-01", "plant-02", "plant-03"}


# A ServerApp that leads our methods by the loop that Flower itself has.
STOCK_SERVER = """
import numpy as np
from flwr.serverapp import ServerApp

from dtfl_app.core.config import RunConfig
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.server.session import open_session

app = ServerApp()


@app.main()
def main(grid, context):
    session = open_session(grid, RunConfig.from_mapping(context.run_config))
    for name in session.strategies:
        strategy = session.create(name)
        first = to_record(session.first_model(strategy))
        result = strategy.start(grid, first, num_rounds=3)
        np.savez(session.results.path / name, **to_arrays(result.arrays))
"""


def test_flowers_own_loop_ends_in_the_same_models(
    engine: SuperLink, finished: Path, cache: Path, tmp_path: Path
) -> None:
    app = write_app(tmp_path / "app")
    (app / "stock_server.py").write_text(STOCK_SERVER)
    project = (app / "pyproject.toml").read_text()
    stock = project.replace('"dtfl_app.server.app:app"', '"stock_server:app"')
    (app / "pyproject.toml").write_text(stock)

    run(engine, tmp_path, cache, "stock", app=app, strategy="fedadam,lpe,cwa,dtkd")

    for strategy in ("fedadam", "lpe", "cwa", "dtkd"):
        ours = load_model(finished / "models" / f"{strategy}.safetensors").params
        theirs = np.load(tmp_path / "stock" / f"{strategy}.npz")
        assert all(np.array_equal(theirs[key], ours[key]) for key in ours)


def test_wrong_number_of_supernodes_stops_the_run_with_a_clear_error(
    engine: SuperLink, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(FederationError, match="sites = 4, but 3 SuperNodes are connected"):
        run(engine, tmp_path, cache, "mismatch", sites=4, join_timeout=0.5)
