"""Which app a command runs, and what it says of a folder that holds none."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dtfl_app.cli.app_folder import open_app
from dtfl_app.cli.main import app
from dtfl_app.cli.new import write_app
from dtfl_app.core.errors import ConfigError

OTHER = Path(__file__).parents[1] / "support" / "other-app"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command is called."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("project", [None, "[tool.ruff]\nline-length = 100\n"])
def test_where_no_app_is_dtfl_itself_is_run(here, project):
    """A project of another kind is none either."""
    if project is not None:
        (here / "pyproject.toml").write_text(project)
    before = list(here.iterdir())

    with open_app(None) as opened:
        text = (opened.path / "pyproject.toml").read_text()

    assert 'serverapp = "dtfl_app.server.app:app"' in text
    assert opened.settings({}) == {}
    assert not opened.path.exists()
    assert list(here.iterdir()) == before


def test_the_app_in_the_current_folder_is_run_with_its_settings(here):
    path = write_app(here / "my-plant") / "pyproject.toml"
    path.write_text(path.read_text().replace("\nsites = 0", "\nsites = 4"))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        with open_app(None) as opened:
            assert opened.path == path.parent
            assert opened.settings({"rounds": 3}) == {"sites": 4, "rounds": 3}
            assert opened.settings({"resume": "run"}) == {"resume": "run"}


@pytest.mark.parametrize(
    ("project", "reason"),
    [
        ("[tool.flwr.app\n", "cannot be read"),
        ("[tool.flwr.app]\n", "Missing [project] section"),
        ((OTHER / "pyproject.toml").read_text(), "run-name, results-dir, so this is another app"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["submit", "fleet", "results-dir=/results"]])
def test_a_broken_app_and_another_one_are_one_clear_error_before_anything_starts(
    here, project, reason, command
):
    (here / "pyproject.toml").write_text(project)
    for name in ("server_app", "client_app"):
        (here / f"{name}.py").write_text("app = None\n")
    before = sorted(here.iterdir())

    done = CliRunner().invoke(app, command)

    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert reason in done.output
    assert sorted(here.iterdir()) == before


def test_a_folder_that_is_named_must_hold_an_app(here):
    with pytest.raises(ConfigError, match="holds no Flower app"), open_app(here):
        pass
