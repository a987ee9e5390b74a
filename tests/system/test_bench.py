"""`dtfl bench` on the real engine: what is run, stored, retried, told, and stopped."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from typer.testing import CliRunner, Result

from dtfl_app.cli.main import app
from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY, SMALL
from tests.system.test_launch import START

# The second variant has no twin: there FedAvg ends well, then CWA fails, in the same run.
GRID = """
name = "tiny"
title = "Tiny"
sites = 3
seeds = [0]
targets = [0.5]

[settings]
{settings}

[[row]]
name = "FedAvg"
settings = {{ strategy = "fedavg" }}

[[row]]
name = "CWA"
paper = "33"
settings = {{ strategy = "cwa" }}

[[variant]]
name = ""

[[variant]]
name = "no twin"
settings = {{ twin.kind = "none" }}
"""


def write_grid(folder: Path, **settings: object) -> Path:
    chosen = {**SMALL, "rounds": 2, **settings}
    del chosen["sites"]
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in chosen.items())
    path = folder / "tiny.toml"
    path.write_text(GRID.format(settings=text))
    return path


def words(folder: Path, cache: Path) -> list[str]:
    places = {"work": folder / "work", "results": folder / "out", "cache": cache, "app": REPOSITORY}
    options = [word for key, path in places.items() for word in (f"--{key}", str(path))]
    return ["bench", str(folder / "tiny.toml"), *options]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench")
    write_grid(path)
    return path


@pytest.fixture(scope="module")
def first(folder: Path, cache: Path) -> Result:
    return CliRunner().invoke(app, [*words(folder, cache), "--jobs", "2"])


@pytest.fixture(scope="module")
def cells(first: Result, folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "out" / "tiny_cells.parquet")


def test_what_failed_is_reported_and_the_rest_goes_on(first: Result) -> None:
    assert first.exit_code == 1
    assert "FedAvg | seed 0 (and 1 more): done" in first.stdout
    assert "strategy 'cwa' needs a digital twin and this run has none" in first.stdout
    assert "cells missing: 1 of 6\n  CWA | no twin | seed 0" in first.stdout


def test_a_failed_run_leaves_what_its_finished_strategies_gave(cells: pd.DataFrame) -> None:
    federated = cells[cells["kind"] == "federated"]

    assert sorted(zip(federated["row"], federated["variant"], strict=True)) == [
        ("CWA", ""),
        ("FedAvg", ""),
        ("FedAvg", "no twin"),
    ]


def test_every_round_is_in_the_tidy_table_as_the_run_measured_it(
    first: Result, folder: Path, cells: pd.DataFrame
) -> None:
    rounds = pd.read_parquet(folder / "out" / "tiny.parquet")
    cwa = rounds[rounds["row"] == "CWA"]
    digest = cells.loc[cells["row"] == "CWA", "digest"].item()

    lines = read_lines(folder / "work" / "cells" / digest / "metrics.jsonl")

    assert cwa["round"].tolist() == [0, 1, 2] == [line.round for line in lines]
    assert cwa["bytes_up"].tolist() == [line.bytes_up for line in lines]
    assert cwa["auc_pr"].tolist() == [line.metrics.auc_pr for line in lines if line.metrics]


def test_baselines_stand_beside_the_methods(first: Result, folder: Path) -> None:
    page = (folder / "out" / "tiny.md").read_text()

    names = [row.split("|")[1].strip() for row in page.splitlines() if row.startswith("| ")]
    start = names.index("random score")
    assert names[start : start + 4] == [
        "random score",
        "untrained model",
        "one-class PCA",
        "twin only",
    ]
    assert "Made by `dtfl bench" in page


def test_only_what_is_missing_runs_again_and_tables_need_no_run(
    first: Result, folder: Path, cache: Path
) -> None:
    before = (folder / "out" / "tiny.md").read_bytes()

    again = CliRunner().invoke(app, [*words(folder, cache), "--only", "FedAvg|baselines"])
    tables = CliRunner().invoke(app, [*words(folder, cache), "--tables"])

    assert "nothing to run" in again.stdout
    assert (again.exit_code, tables.exit_code) == (1, 1)
    assert (folder / "out" / "tiny.md").read_bytes() == before


def test_a_run_of_several_strategies_gives_each_what_it_has_alone(
    cells: pd.DataFrame, folder: Path, cache: Path, tmp_path: Path
) -> None:
    write_grid(tmp_path)
    alone = CliRunner().invoke(app, [*words(tmp_path, cache), "--only", r"^CWA \| seed"])

    assert alone.exit_code == 1
    stored = pd.read_parquet(tmp_path / "out" / "tiny_cells.parquet")
    joint = cells[(cells["row"] == "CWA") & (cells["variant"] == "")]
    for column in ("digest", "balanced_accuracy", "auc_pr", "threshold", "bytes_up"):
        assert stored[column].tolist() == joint[column].tolist()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bench_stops_everything_it_started(
    sign: signal.Signals, cache: Path, tmp_path: Path
) -> None:
    write_grid(tmp_path, rounds=500)
    command = [sys.executable, "-c", START, *words(tmp_path, cache), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while len(list(tmp_path.glob("work/runs/*/metrics.jsonl"))) < 2:
            assert process.poll() is None
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        assert sum("flower-superlink" in " ".join(member.cmdline()) for member in family) == 2

        process.send_signal(sign)
        code = process.wait(timeout=100)

    assert code != 0
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert not list(tmp_path.glob("work/cells/*"))
