"""A thin app: written by `dtfl new`, and what stands in it."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.cli.new import config_table, defaults
from dtfl_app.core.settings import flat

REPOSITORY = Path(__file__).parents[2]


def new(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["new", str(folder)])
    return done.exit_code, done.output


def test_a_new_app_has_every_setting_with_its_default(tmp_path):
    """Flower overrides no key that it does not find there."""
    code, said = new(tmp_path / "my-plant")

    assert code == 0
    assert said.startswith(f"cd {tmp_path / 'my-plant'} && dtfl run ")
    project = tomllib.loads((tmp_path / "my-plant" / "pyproject.toml").read_text())
    config = flat(project["tool"]["flwr"]["app"]["config"])
    assert {k: (type(v), v) for k, v in config.items()} == {
        k: (type(v), v) for k, v in defaults().items()
    }
    assert project["project"]["name"] == "my-plant"


def test_its_strategy_is_that_of_the_page(tmp_path):
    new(tmp_path / "my-plant")

    page = (REPOSITORY / "docs" / "your-strategy.md").read_text()
    assert (tmp_path / "my-plant" / "fading_twin.py").read_text() in page


def test_what_runs_leave_in_it_stays_out_of_its_bundle(tmp_path):
    """Flower leaves out what git would, and results hold files that it would take for the app's."""
    new(tmp_path / "my-plant")

    assert (tmp_path / "my-plant" / ".gitignore").read_text().split() == ["/results/"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "pyproject.toml").write_text("mine")

    code, said = new(tmp_path)

    assert code == 2
    assert "is there already and not empty" in said
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["my_plant", "9plants", "p" * 33])
def test_a_name_that_flower_would_not_take_makes_no_folder(tmp_path, name):
    code, said = new(tmp_path / name)

    assert code == 2
    assert f"{name!r} cannot be the name of a Flower app" in said
    assert list(tmp_path.iterdir()) == []


def test_the_settings_command_prints_the_table_of_an_app():
    printed = CliRunner().invoke(app, ["settings", "--toml"]).stdout

    assert printed.strip() == config_table().strip()
