"""dtfl twin for other kinds than C-Town's."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from dtfl_app.cli.twin import twin_app
from dtfl_app.core import registry
from dtfl_app.sites.site_schema import SiteSchema
from tests.support.places import REPOSITORY
from twin.schema import Channel, Schema

TANKS = Schema(
    "two-tanks",
    (
        Channel("inflow", "L/s", "flow", 0.0, 9.0),
        Channel("upper", "m", "level", 0.0, 9.0),
        Channel("lower", "m", "level", 0.0, 9.0),
    ),
    period_s=60.0,
)
KIND = ("--kind", "two_tanks:TwoTanks", "--schema", "schema.toml")


def run(*words: object) -> Result:
    return CliRunner().invoke(twin_app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a schema, a class of a twin, and one that can be fitted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(REPOSITORY / "dtfl_app" / "cli" / "thin")
    monkeypatch.syspath_prepend(tmp_path)
    Path("schema.toml").write_text(SiteSchema(TANKS).to_toml())
    Path("fitted.py").write_text(
        "import pandas as pd\n"
        "from two_tanks import TwoTanks\n\n\n"
        "class Fitted(TwoTanks):\n"
        "    def calibrate(self, plant):\n"
        "        valve = float((plant.inflow / plant.upper**0.5).mean())\n"
        "        return f'valve = {valve:.1f}', pd.DataFrame({'valve': [valve]})\n"
    )
    return tmp_path


def test_a_twin_of_ones_own_is_simulated_compared_and_where_it_can_be_fitted():
    """The plant's valves let 1.5 L/s through at 1 m; a twin with 1.3 stands higher: its levels are
    to be recalibrated, its inflow is the plant's."""
    made = run("simulate", *KIND, "--scenarios", 1, "--hours", 24, "--out", "a.csv", "--cache", "c")
    wrong = run("compare", "a.csv", *KIND, "--options", "valve=1.3", "--seed", 5, "--out", "t.csv")
    fitted = run("calibrate", "a.csv", "--kind", "fitted:Fitted", *KIND[2:], "--out", "fit.toml")

    assert (made.exit_code, wrong.exit_code, fitted.exit_code) == (0, 0, 0), made.output
    assert "1 scenarios, 1440 rows, simulated at" in made.stdout
    verdicts = pd.read_csv("t.csv", index_col="channel")["verdict"]
    assert verdicts.to_dict() == {"inflow": "use", "upper": "recalibrate", "lower": "recalibrate"}
    assert "verdict: recalibrate (mean KS" in wrong.stdout
    assert "limits of KS: 0.15 for a channel and for its shape, 0.1 for the mean" in wrong.stdout
    assert Path("fit.toml").read_text() == "valve = 1.5"


def test_a_function_that_fails_in_one_scenario_of_ten_loses_that_one_and_says_so():
    Path("breaking.py").write_text(
        "from two_tanks import TwoTanks, TwoTanksOptions\n\n\n"
        "def simulate(scenario, schema):\n"
        "    if scenario.name == 's0004':\n"
        "        raise ArithmeticError('the step size is too small')\n"
        "    return TwoTanks(TwoTanksOptions()).simulate(scenario)\n"
    )
    words = ("--kind", "function", "--options", 'function="breaking:simulate"', *KIND[2:])

    made = run(
        "simulate", *words, "--scenarios", 10, "--hours", 4, "--out", "a.csv", "--cache", "c"
    )

    assert made.exit_code == 0, made.output
    assert "9 scenarios, 2160 rows, simulated at" in made.stdout
    assert "dropped: s0004: breaking:simulate, scenario 's0004': ArithmeticError" in made.stderr


def test_the_kinds_are_listed_with_their_options_those_of_packages_too(monkeypatch):
    there = [EntryPoint("tanks", "two_tanks:TwoTanks", "dtfl.twins")]
    monkeypatch.setattr(registry, "entry_points", lambda group: there * (group == "dtfl.twins"))

    shown = run("kinds")

    assert shown.exit_code == 0, shown.output
    rows = [line.split(maxsplit=1) for line in shown.stdout.splitlines() if line.strip()]
    kinds = {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}
    assert (kinds["ctown"], kinds["fmi"], kinds["tanks"]) == ("", "file", "valve, leak")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("simulate", "--kind", "function", "--out", "x.csv"), "--kind function needs --schema"),
        (("simulate", *KIND, "--network", "a.inp", "--out", "x.csv"), "is for --kind ctown"),
        (("simulate", "--options", "a=1", "--out", "x.csv"), "the kind ctown has none"),
        (("simulate", *KIND, "--options", "valv=1", "--out", "x.csv"), "did you mean 'valve'"),
        (("simulate", *KIND[2:], "--out", "x.csv"), "the twin's channels are not the sites'"),
        (("simulate", "--kind", "matlab", *KIND[2:], "--out", "x.csv"), "'matlab' is unknown"),
        (("simulate", "--kind", "recorded", *KIND[2:], "--out", "x.csv"), "needs its file"),
        (("calibrate", "a.csv", *KIND, "--out", "x.csv"), "this kind has no calibration; change"),
        (("compare", "gone.csv", *KIND), "gone.csv"),
        (("compare", "a.csv", "--kind", "function", "--schema", "no.toml"), "no such site schema"),
    ],
)
def test_what_does_not_go_together_is_one_error(words, message):
    failed = run(*words)

    assert failed.exit_code == 2, failed.output
    assert message in failed.stderr
    assert not Path("x.csv").exists()
