import pytest

from dtfl_app.bench.grid import Folds, Point, Variant
from dtfl_app.core.errors import ConfigError
from tests.bench.conftest import TOP

SWEEP = '[[sweep]]\nname = "steps"\nrows = ["CWA"]\n'


def test_what_is_not_said_has_its_default(grid_of):
    grid = grid_of()

    assert grid.variants == (Variant(),)
    assert (grid.baselines, grid.folds, grid.sweeps, grid.notes) == (True, None, (), "")
    assert grid.row("CWA").paper == "33"


def test_a_sweep_has_a_key_with_values_or_points_of_several_keys(grid_of):
    points = 'points = [{ label = "both", settings = { lpe.low = 1, lpe.high = 2 } }]\n'

    by_key = grid_of(SWEEP + 'key = "twin.steps"\nvalues = [1, 2]\n').sweeps[0]
    by_point = grid_of(SWEEP + points).sweeps[0]

    assert by_key.points == (Point("1", {"twin.steps": 1}), Point("2", {"twin.steps": 2}))
    assert by_point.points == (Point("both", {"lpe.low": 1, "lpe.high": 2}),)


def test_folds_are_a_key_and_its_values(grid_of):
    grid = grid_of('[folds]\nkey = "held-out"\nvalues = ["a", "b"]\n')

    assert grid.folds == Folds("held-out", ("a", "b"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('[[row]]\nname = "X"\nsettings = { strategy = "cwa" }\ncolour = 1', "colour"),
        ('[[row]]\nname = "CWA"\nsettings = { strategy = "cwa" }', "'CWA' is there twice"),
        ('[[row]]\nname = "X"\nsettings = { rounds = 1 }', "expected one method"),
        ('[[row]]\nname = "X"\nsettings = { strategy = "cwa,lpe" }', "expected one method"),
        ('[[row]]\nsettings = { strategy = "cwa" }', "key 'name' is missing"),
        ('[[variant]]\nname = "warm"\nsettings = { seed = 3 }', "the bench sets it"),
        ('[[variant]]\nname = "warm"\nrows = ["LPE"]', "row 'LPE' is unknown"),
        ('[[variant]]\nname = "warm"\nseeds = [1, 1]', "different whole numbers"),
        ('[[variant]]\nname = "warm"\nfolds = "no"', "expected true or false"),
        ('[[variant]]\nname = "warm"\nsettings = { rounds = [1] }', "a number, a text"),
        (SWEEP, "key and values, or points"),
        (SWEEP + 'key = "twin.steps"\nvalues = []', "at least one number"),
        ("[folds]\nvalues = [1]", "key 'key' is missing"),
        ("[fold]\nvalues = [1]", "'folds', perhaps"),
    ],
)
def test_a_slip_is_one_error_that_names_file_and_key(grid_of, more, message):
    with pytest.raises(ConfigError, match=r"small\.toml") as caught:
        grid_of(more)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('name = "Über"', "it names the result files"),
        ("sites = 0", "a whole number from 1"),
        ("seeds = []", "different whole numbers"),
        ("targets = [80]", "balanced accuracies in (0, 1]"),
    ],
)
def test_a_bad_value_at_the_top_says_what_was_expected(grid_of, line, message):
    key = line.partition(" ")[0]
    top = "\n".join(line if row.startswith(f"{key} =") else row for row in TOP.splitlines())

    with pytest.raises(ConfigError) as caught:
        grid_of(top=top)

    assert message in str(caught.value)


def test_a_missing_or_broken_file_is_one_error(tmp_path, grid_of):
    with pytest.raises(ConfigError, match="not TOML"):
        grid_of("[[row]")
    with pytest.raises(ConfigError, match="no \\[\\[row\\]\\]"):
        grid_of(top='name = "x"\ntitle = "X"\n')
