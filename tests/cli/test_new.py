"""A thin app: written by `dtfl new`, and what stands in it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.cli.new import config_table, defaults
from dtfl_app.core.settings import flat

REPOSITORY = Path(__file__).parents[2]


def new(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["new", "app", str(folder)])
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


@pytest.mark.parametrize(
    ("template", "page"),
    [("tank_sites", "your-dataset"), ("two_tanks", "your-twin"), ("stencil", "your-detector")],
)
def test_what_is_written_is_what_its_page_shows(template, page):
    code = (REPOSITORY / "dtfl_app" / "cli" / "thin" / f"{template}.py").read_text()

    assert code in (REPOSITORY / "docs" / f"{page}.md").read_text()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A fresh folder with one part of each kind, written there."""
    folder = tmp_path_factory.mktemp("parts")
    kinds = {
        "strategy": "my_method",
        "dataset": "my_sites",
        "twin": "my_plant",
        "detector": "my_detector",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind, name in kinds.items():
            done = CliRunner().invoke(app, ["new", kind, name])
            assert done.exit_code == 0, done.output
    return folder


def test_each_part_passes_the_test_that_is_written_beside_it(parts):
    names = ["test_my_detector.py", "test_my_method.py", "test_my_plant.py", "test_my_sites.py"]
    assert sorted(path.name for path in parts.glob("test_*.py")) == names

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=parts, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "17 passed" in done.stdout


def test_a_part_is_named_throughout_as_it_was_asked_for(parts):
    text = "".join(path.read_text() for path in parts.glob("*.py"))

    assert "class MySites(FederatedDataset)" in text
    assert "my_plant.py: two tanks" in text
    for template in ("fading_twin", "FadingTwin", "tank_sites", "TankSites", "TwoTanks"):
        assert template not in text


def test_a_part_that_is_there_already_is_left_alone(parts, monkeypatch):
    monkeypatch.chdir(parts)
    before = (parts / "my_plant.py").read_bytes()

    done = CliRunner().invoke(app, ["new", "twin", "my_plant"])

    assert done.exit_code == 2
    assert "my_plant.py is there already; give another name" in done.output
    assert (parts / "my_plant.py").read_bytes() == before


@pytest.mark.parametrize("name", ["my-plant", "class", "9plants", "a/b"])
def test_a_name_that_python_cannot_import_writes_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(app, ["new", "dataset", name])

    assert done.exit_code == 2
    assert f"{name!r} cannot be the name of a module" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_would_hide_an_installed_module_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(app, ["new", "twin", "twin"])

    assert "'twin' is the name of a module that is installed" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_before_name_those_of_now(tmp_path):
    done = CliRunner().invoke(app, ["new", "my-plant"])

    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "'my-plant' is none of app, strategy, dataset, twin" in said
    assert "dtfl new app my-plant" in said
