"""Every grid in benchmarks/, and the one in the page, can be run: names, keys and values hold."""

import re

import pytest

from dtfl_app.bench.cells import baseline_cells, cells_of, data_groups, merge
from dtfl_app.bench.grid import read_grid
from tests.support.places import REPOSITORY

GRIDS = sorted((REPOSITORY / "benchmarks").glob("*.toml"))


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_a_committed_grid_is_valid_and_named_like_its_file(path):
    grid = read_grid(path)

    runs = merge(cells_of(grid))

    assert grid.name == path.stem
    assert {digest for run in runs for digest in run.cells.values()} == {
        cell.digest for cell in cells_of(grid)
    }


def test_the_main_table_has_five_seeds_and_every_method_with_and_without_warm_start():
    grid = read_grid(REPOSITORY / "benchmarks" / "batadal.toml")

    cells = cells_of(grid)

    methods = {"fedavg", "fedprox", "fedadam", "dtml", "fpf", "lpe", "cwa", "dtkd", "feddf"}
    methods |= {"fednova", "scaffold", "fedper"}
    methods |= {f"flwr.serverapp.strategy:{name}" for name in ("FedAvgM", "FedYogi", "QFedAvg")}
    for warm in (False, True):
        mine = [cell for cell in cells if cell.common["twin.warm-start"] is warm]
        assert {cell.strategy for cell in mine} == methods
        assert {cell.seed for cell in mine} == {0, 1, 2, 3, 4}


def test_wells_are_held_out_in_turn_and_pooled_beside_that():
    grid = read_grid(REPOSITORY / "benchmarks" / "threew.toml")

    held_out = {c.common["data.held-out"] for c in cells_of(grid) if c.variant != "pooled"}
    pooled = {(c.common["sites"], c.fold) for c in cells_of(grid) if c.variant == "pooled"}

    assert (len(held_out), pooled) == (6, {(6, "")})
    assert [[v.name for v in group] for group in data_groups(grid)] == [[""], ["pooled"]]
    assert len({cell.digest for cell in baseline_cells(grid)}) == 6 + 1


def test_the_page_s_grid_is_one(tmp_path):
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "page.toml").write_text(text)

    grid = read_grid(tmp_path / "page.toml")

    assert len(cells_of(grid)) == 5 * 2 + 5 * 2
