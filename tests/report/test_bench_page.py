"""From stored cells through the bench's own writer to the page."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from dtfl_app.bench.cells import baseline_cells, cells_of
from dtfl_app.bench.grid import read_grid
from dtfl_app.bench.outputs import write_outputs
from dtfl_app.bench.provenance import Provenance
from dtfl_app.bench.store import Store
from dtfl_app.cli.main import app
from dtfl_app.core.errors import DataError
from dtfl_app.report.bench_page import bench_page
from dtfl_app.report.bench_reading import read_bench
from tests.support.figures import figures
from tests.support.run_folder import make_run

GRID = """
name = "demo"
title = "A made-up benchmark"
notes = "For a test, with <angles>."
sites = 3
seeds = [0, 1]
targets = [0.8, 0.95]
baselines = true
[settings]
dataset = "plants"
rounds = 2
[[row]]
name = "FedAvg"
settings = { strategy = "fedavg" }
[[row]]
name = "CWA"
settings = { strategy = "cwa" }
[[variant]]
name = ""
[[variant]]
name = "warm start"
settings = { twin.warm-start = true }
[[sweep]]
name = "twin steps"
rows = ["CWA"]
key = "twin.steps"
values = [10, 50]
"""
ORIGIN = Provenance("abc1234", {"python": "3.11"}, "2 cores", "2026-01-01")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Every cell is the same made-up run: FedAvg ends at 0.6, CWA at 0.9 after 0.85 in round 1."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "demo.toml").write_text(GRID)
    grid, store = read_grid(folder / "demo.toml"), Store(folder / "work")
    run = make_run(folder / "run")
    (run / "models").mkdir()
    for strategy in ("fedavg", "cwa"):
        (run / "models" / f"{strategy}.safetensors").touch()  # it is copied, not read
    for cell in cells_of(grid):
        store.keep(cell.digest, run, cell.strategy, ORIGIN.to_mapping())
    for cell in baseline_cells(grid):
        rows = {"random score": [figures(0.5).as_dict()]}
        store.keep_baselines(cell.digest, rows, ORIGIN.to_mapping())
    write_outputs(grid, store, folder / "results", "dtfl bench demo.toml")
    return folder


@pytest.fixture(scope="module")
def page(folder) -> str:
    return bench_page(read_bench(folder / "results" / "demo.parquet", folder / "work"), [])


def rows_of(page: str, table: str) -> list[list[str]]:
    """Texts of a table's cells, row by row."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, re.S)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in rows]


def test_title_notes_and_origin_are_those_of_the_markdown_page(page):
    assert "<h1>A made-up benchmark</h1>" in page
    assert "For a test, with &lt;angles&gt;." in page
    assert "Made by dtfl bench demo.toml; commit abc1234; 2026-01-01" in page


def test_the_cost_table_has_rounds_per_cell_and_mean_costs(page):
    """CWA reaches 0.8 after one round of 3 MB up and 2 MB down, in 0.5 s."""
    rows = rows_of(page, "costs")

    assert [row[0] for row in rows] == [
        "FedAvg", "CWA", "FedAvg, warm start", "CWA, warm start",
    ]  # fmt: skip
    assert rows[0][1:4] == ["not reached", "0 of 2", "-"]
    assert rows[1][1:6] == ["1, 1", "2 of 2", "3.00 ± 0.00", "2.00 ± 0.00", "0.5 ± 0.0"]
    assert rows[1][-1] == "not reached"  # 0.95


def test_figures_have_the_baselines_first_and_once(page):
    rows = rows_of(page, "figures")

    assert [row[0] for row in rows][:3] == ["random score", "FedAvg", "CWA"]
    assert [row[1] for row in rows][:3] == ["0.500 ± 0.000", "0.600 ± 0.000", "0.900 ± 0.000"]


def test_numbers_carry_all_digits_of_the_stored_means(folder, page):
    cells = pd.read_parquet(folder / "results" / "demo_cells.parquet")
    auc = cells.loc[(cells["row"] == "CWA") & (cells["sweep"] == ""), "auc_pr"].mean()

    body = re.search(r'<table id="figures">(.*?)</table>', page, re.S)[1]
    stored = re.findall(r'data-value="([^"]+)" data-key="auc_pr"', body)

    assert {json.loads(value) for value in stored} == {float(auc)}


def test_a_sweep_has_a_table_with_a_row_per_value(page):
    rows = rows_of(page, "sweep-0")

    assert [row[:3] for row in rows] == [["CWA", "10", "1, 1"], ["CWA", "50", "1, 1"]]


def test_the_best_methods_cell_gives_events_settings_and_timeline(page):
    assert "Of the best method&#39;s first cell: CWA, seed 0." in page
    assert "cwa: 1 of 2 events found" in page
    assert 'id="timeline-0-title"' in page
    for section in ("events", "sites", "twin", "settings", "environment", "provenance"):
        assert f'<section id="{section}"' in page


def test_without_the_cells_folder_the_page_says_what_is_missing(folder):
    page = bench_page(read_bench(folder / "results" / "demo.parquet", None), [])

    assert "dtfl report demo.parquet --cells results/bench" in page
    assert '<section id="settings"' not in page
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in page


def test_the_command_writes_the_page_beside_the_results(folder, page):
    table = folder / "results" / "demo.parquet"

    result = CliRunner().invoke(app, ["report", str(table), "--cells", str(folder / "work")])

    assert result.exit_code == 0
    assert result.stdout.strip() == str(folder / "results" / "demo.html")
    assert len(rows_of((folder / "results" / "demo.html").read_text(), "figures")) == 5


def test_cells_belong_to_a_benchmark(folder):
    result = CliRunner().invoke(app, ["report", str(folder / "run"), "--cells", str(folder)])

    assert result.exit_code == 2
    assert "belongs to a benchmark" in result.stderr


@pytest.mark.parametrize("missing", ["demo.parquet", "demo_cells.parquet", "demo.md"])
def test_a_missing_file_is_named(folder, tmp_path, missing):
    for name in {"demo.parquet", "demo_cells.parquet", "demo.md"} - {missing}:
        shutil.copy(folder / "results" / name, tmp_path)

    with pytest.raises(DataError, match=f"{missing}: cannot be read"):
        read_bench(tmp_path / "demo.parquet", None)


def test_another_parquet_file_is_one_clear_error(tmp_path):
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "twin.parquet")

    with pytest.raises(DataError, match=r"twin.parquet: columns \['row', .* are missing"):
        read_bench(tmp_path / "twin.parquet", None)
