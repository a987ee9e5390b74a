from dataclasses import replace

import pytest

from dtfl_app.bench.cells import baseline_cells, cells_of, data_groups, merge
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError

WARM = '[[variant]]\nname = ""\n[[variant]]\nname = "warm"\nsettings = { twin.warm-start = true }\n'
SIDES = """
[[row]]
name = "client"
settings = { strategy = "dtkd" }

[[row]]
name = "server"
settings = { strategy = "dtkd", dtkd.side = "server" }
"""
FOLDS = '[folds]\nkey = "plants.gap"\nvalues = [0.1, 0.2, 0.3]\n'


def test_rows_variants_folds_and_seeds_are_crossed(grid_of):
    """2 rows x 2 variants x 3 folds x 2 seeds = 24, all different."""
    cells = cells_of(grid_of(WARM + FOLDS))

    assert len({cell.digest for cell in cells}) == len({cell.name for cell in cells}) == 24
    folds = {cell.common["plants.gap"] for cell in cells}
    assert folds == {0.1, 0.2, 0.3}


def test_a_cell_has_every_setting_and_the_seed_of_its_data_follows_its_seed(grid_of):
    cell = cells_of(grid_of())[1]

    expected = {
        **RunConfig.from_mapping({}).to_mapping(),
        **{"strategy": "fedavg", "dataset": "plants", "sites": 3, "target": 0.8},
        **{"rounds": 4, "seed": 1, "data.seed": 1},
    }
    for folder in (
        "results-dir", "run-name", "cache-dir", "data.dir", "state.dir", "trust.names",
    ):  # fmt: skip
        del expected[folder]
    assert cell.common == expected


def test_settings_may_fix_the_seed_of_the_data(grid_of):
    grid = grid_of()
    grid = replace(grid, settings={**grid.settings, "data.seed": 7})

    assert [c.common["data.seed"] for c in cells_of(grid)] == [7, 7, 7, 7]


def test_only_settings_with_an_effect_have_a_part_in_the_digest(grid_of):
    """dtkd.side is DTKD's: it changes neither FedAvg's cell nor CWA's."""
    grid = grid_of(SIDES)
    other = replace(grid, settings={**grid.settings, "dtkd.lambda": 0.9})

    same = [a.digest == b.digest for a, b in zip(cells_of(grid), cells_of(other), strict=True)]

    assert same == [True] * 4 + [False] * 4


def test_cells_that_differ_only_in_the_strategy_share_a_run(grid_of):
    """FedAvg, CWA and DTKD at the client in one run per seed; DTKD occurs once in a run."""
    runs = merge(cells_of(grid_of(SIDES)))

    assert [list(run.cells) for run in runs] == [["fedavg", "cwa", "dtkd"]] * 2 + [["dtkd"]] * 2
    assert [run.settings["strategy"] for run in runs][1:3] == ["fedavg,cwa,dtkd", "dtkd"]
    assert [(run.settings["dtkd.side"], run.settings["seed"]) for run in runs] == [
        ("client", 0),
        ("client", 1),
        ("server", 0),
        ("server", 1),
    ]
    assert runs[0].name == "FedAvg | seed 0 (and 2 more)"


def test_the_settings_of_a_run_are_valid_and_those_of_each_of_its_cells(grid_of):
    cells = {cell.digest: cell for cell in cells_of(grid_of(SIDES + WARM))}

    for run in merge(cells.values()):
        RunConfig.from_mapping(run.settings)
        for strategy, digest in run.cells.items():
            cell = cells[digest]
            own = {**cell.common, **cell.own, "strategy": run.settings["strategy"]}
            assert cell.strategy == strategy
            assert {key: run.settings[key] for key in own} == own


def test_a_sweep_point_at_the_default_is_the_main_table_s_cell(grid_of):
    sweep = '[[sweep]]\nname = "s"\nrows = ["CWA"]\nkey = "twin.steps"\nvalues = [50, 100]\n'

    cells = cells_of(grid_of(sweep + "seeds = [1]\n"))

    at = {(cell.row, cell.point, cell.seed): cell.digest for cell in cells}
    assert at["CWA", "100", 1] == at["CWA", "", 1]
    assert at["CWA", "50", 1] != at["CWA", "", 1]
    assert len(cells) == 4 + 2


def test_a_sweep_may_vary_the_number_of_sites(grid_of):
    sweep = '[[sweep]]\nname = "K"\nrows = ["CWA"]\nkey = "sites"\nvalues = [5, 20]\n'

    cells = [cell for cell in cells_of(grid_of(sweep)) if cell.sweep]

    assert [cell.common["sites"] for cell in cells] == [5, 5, 20, 20]


def test_a_value_out_of_range_names_file_cell_and_key(grid_of):
    grid = grid_of('[[variant]]\nname = "no rounds"\nsettings = { rounds = 0 }\n')

    with pytest.raises(ConfigError, match=r"small.toml: FedAvg \| no rounds \| seed 0: .*rounds"):
        cells_of(grid)


def test_an_unknown_setting_names_the_nearest(grid_of):
    grid = grid_of('[[variant]]\nname = "x"\nsettings = { rouns = 5 }\n')

    with pytest.raises(ConfigError, match="unknown key 'rouns'; did you mean 'rounds'"):
        cells_of(grid)


def test_variants_on_equal_data_share_their_baselines(grid_of):
    """A warm start changes no data; another gap between plants and twin does."""
    far = '[[variant]]\nname = "far"\nsettings = { plants.gap = 2.0 }\n'

    grid = grid_of(WARM + far)

    assert [[v.name for v in group] for group in data_groups(grid)] == [["", "warm"], ["far"]]
    assert len(baseline_cells(grid)) == 6
    assert len({cell.digest for cell in baseline_cells(grid)}) == 4


def test_a_variant_may_be_without_folds_and_with_fewer_rows_and_seeds(grid_of):
    variant = '[[variant]]\nname = "v"\nrows = ["CWA"]\nseeds = [9]\nfolds = false\n'

    (cell,) = cells_of(grid_of(FOLDS + variant))

    assert (cell.row, cell.fold, cell.seed, cell.common["plants.gap"]) == ("CWA", "", 9, 0.5)
