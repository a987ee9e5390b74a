import pandas as pd
import pytest

from dtfl_app.bench.cells import baseline_cells, cells_of
from dtfl_app.bench.frames import cell_frame, round_frame
from dtfl_app.bench.grid_tables import cost_table, figure_table, short_table, sweep_table
from dtfl_app.bench.outputs import write_outputs
from dtfl_app.bench.store import Store
from tests.bench.stored import store_baselines, store_cell

# Balanced accuracy per round; round 0 is the start. FedAvg reaches 0.8 with one seed alone.
CURVES = {
    ("FedAvg", 0): [0.5, 0.7, 0.7, 0.81, 0.7],
    ("FedAvg", 1): [0.5, 0.6, 0.6, 0.6, 0.6],
    ("CWA", 0): [0.5, 0.85, 0.95, 0.9, 0.92],
    ("CWA", 1): [0.5, 0.7, 0.8, 0.85, 0.88],
}


@pytest.fixture
def grid(grid_of):
    return grid_of('[[sweep]]\nname = "steps"\nrows = ["CWA"]\nkey = "twin.steps"\nvalues = [9]\n')


@pytest.fixture
def store(grid, tmp_path):
    """All cells of the main table, and of the sweep only seed 0's."""
    store = Store(tmp_path)
    for cell in cells_of(grid):
        if not cell.sweep or cell.seed == 0:
            store_cell(store, cell, CURVES[cell.row, cell.seed], tmp_path / "runs")
    for cell in baseline_cells(grid):
        store_baselines(store, cell.digest)
    return store


@pytest.fixture
def frame(grid, store):
    return cell_frame(cells_of(grid), baseline_cells(grid), store, grid.targets)


def as_dicts(table):
    return {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}


def test_costs_are_summed_up_to_the_first_model_at_the_target(grid, frame):
    """A round costs 3 MB up, 2 MB down, 10 + 4 steps and 0.5 s; the start 100 steps of the server.

    CWA is there after 1 round with seed 0, after 2 with seed 1: 3 and 6 MB up, 2 and 4 down, 104
    and 108 steps at the server. FedAvg is there after 3 rounds with seed 0 alone.
    """
    costs = as_dicts(cost_table(frame, grid, grid.variants))

    assert costs["CWA"]["rounds to 0.8"] == "1, 2"
    assert (costs["CWA"]["MB up"], costs["CWA"]["MB down"]) == ("4.50 ± 2.12", "3.00 ± 1.41")
    assert (costs["CWA"]["site steps"], costs["CWA"]["server steps"]) == ("15 ± 7", "106 ± 3")
    assert costs["CWA"]["paper"] == "33"
    assert costs["FedAvg"]["rounds to 0.8"] == "3, -"
    assert (costs["FedAvg"]["MB up"], costs["FedAvg"]["seconds"]) == (
        "9.00 (1 of 2)",
        "1.5 (1 of 2)",
    )
    assert costs["FedAvg"]["rounds to 0.9"] == "not in 4"
    assert costs["CWA"]["rounds to 0.9"] == "2, -"


def test_figures_are_the_last_round_s_with_the_baselines_first(grid, frame):
    """CWA ends at 0.92 and 0.88: 0.900 ± 0.028. Sites alone have 0.6 and 0.8, mean 0.7."""
    table = figure_table(frame, grid, grid.variants)
    by_name = as_dicts(table)

    assert [row[0] for row in table.rows] == [
        "random score",
        "site alone",
        "site alone, worst",
        "FedAvg",
        "CWA",
    ]
    assert by_name["CWA"]["balanced accuracy"] == "0.900 ± 0.028"
    assert by_name["site alone"]["balanced accuracy"] == "0.700 ± 0.000"
    assert by_name["site alone, worst"]["balanced accuracy"] == "0.600 ± 0.000"
    assert by_name["CWA"]["found"] == "5.0 ± 0.0 of 7"
    assert by_name["CWA"]["worst site"] == "0.000 ± 0.000"
    assert "at 1%" not in table.head


def test_a_figure_that_cells_have_gets_its_column(grid, frame):
    more = frame.assign(far_at_1pct=0.02, simulated_auc_pr=0.75)

    cwa = as_dicts(figure_table(more, grid, grid.variants))["CWA"]

    assert (cwa["at 1%"], cwa["AUC-PR, simulated families"]) == ("2.00 ± 0.00", "0.750 ± 0.000")


def test_a_sweep_s_table_has_one_line_per_value_and_says_what_is_missing(grid, frame):
    more = frame.assign(site_score=0.5, twin_loss=0.25)

    (row,) = sweep_table(more, grid, grid.sweeps[0]).rows

    assert row[:3] == ["CWA", "9", "1, ?"]
    assert row[-2:] == ["0.5000", "0.2500"]


def test_the_short_table_has_cost_and_figures_in_one_line(grid, frame):
    short = as_dicts(short_table(frame, grid, grid.variants))

    assert short["random score"]["rounds to 0.8"] == "-"
    assert short["CWA"]["rounds to 0.8"] == "1, 2"
    assert short["CWA"]["balanced accuracy"] == "0.900 ± 0.028"


def test_folds_are_shown_by_their_worst(grid_of, tmp_path):
    """Fold a ends at 0.9 with both seeds, fold b at 0.6: mean 0.75, worst 0.6."""
    grid = grid_of('[folds]\nkey = "data.channels"\nvalues = ["a", "b"]\n')
    store = Store(tmp_path)
    for cell in cells_of(grid):
        store_cell(store, cell, [0.5, 0.9 if cell.fold == "a" else 0.6], tmp_path / "runs")

    frame = cell_frame(cells_of(grid), [], store, grid.targets)

    cwa = as_dicts(figure_table(frame, grid, grid.variants))["CWA"]
    assert cwa["balanced accuracy"] == "0.750 ± 0.000"
    assert cwa["worst fold, balanced accuracy"] == "0.600 (b)"
    assert as_dicts(cost_table(frame, grid, grid.variants))["CWA"]["rounds to 0.8"] == (
        "median 1 (2 of 4 runs)"
    )


def test_every_round_of_every_cell_is_a_line(grid, store):
    """4 cells of the main table and one of the sweep, rounds 0 to 4."""
    rounds = round_frame(cells_of(grid), store)

    assert len(rounds) == 5 * 5
    cwa = rounds[(rounds["row"] == "CWA") & (rounds["seed"] == 1) & (rounds["sweep"] == "")]
    assert cwa["balanced_accuracy"].tolist() == CURVES["CWA", 1]


def test_outputs_are_complete_and_name_command_and_commit(grid, store, tmp_path):
    out = tmp_path / "out"

    paths = write_outputs(grid, store, out, "dtfl bench small.toml")

    pictures = {f"small_{k}.png" for k in ("curves", "costs", "worst", "calibration", "timeline")}
    tables = {"small.md", "small_summary.md", "small.parquet", "small_cells.parquet"}
    assert {path.name for path in paths} == {path.name for path in out.iterdir()}
    assert {path.name for path in paths} == pictures | tables
    page = (out / "small.md").read_text()
    assert "**Cells missing: 1**, the first is CWA | steps | 9 | seed 1." in page
    assert (
        "Made by `dtfl bench small.toml`; commit abc1234; 2026-01-02; python 3.11; 2 cores." in page
    )
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_without_any_finished_cell_the_page_says_so(grid, tmp_path):
    write_outputs(grid, Store(tmp_path), tmp_path / "out", "dtfl bench small.toml")

    assert "**Cells missing: 8**" in (tmp_path / "out" / "small.md").read_text()
    assert pd.read_parquet(tmp_path / "out" / "small.parquet").empty
