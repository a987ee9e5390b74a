"""What `dtfl submit` refuses before anything is sent, and a SuperLink that nobody knows."""

import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from tests.support.places import REPOSITORY


def submit(*words: str, **environment: str) -> tuple[int, str]:
    words = ("submit", "fleet", "--app", str(REPOSITORY), *words)
    done = CliRunner().invoke(app, words, env=environment)
    return done.exit_code, done.output


def test_without_a_place_for_results_it_says_where_they_would_go():
    code, said = submit("rounds=3")

    assert code == 2
    assert "results-dir is not set" in said
    assert "on the SuperLink's host" in said


@pytest.mark.parametrize(
    "key", ["results-dir", "data.schema", "twin.plant", "data.evaluation-file"]
)
def test_a_path_that_does_not_begin_at_the_root_is_refused(key):
    settings = {"results-dir": "/results", key: "here/it/is"}

    code, said = submit(*(f"{k}={v}" for k, v in settings.items()))

    assert code == 2
    assert f"{key} = 'here/it/is'; expected a path from the root" in said


def test_files_may_be_names_in_a_folder_of_the_server(tmp_path):
    """They get past the check; the SuperLink is then one that no config.toml knows."""
    words = (
        "results-dir=/results",
        "dataset=files",
        "data.dir=/data",
        "data.evaluation-file=judge.csv",
    )

    code, said = submit(*words, FLWR_HOME=str(tmp_path))

    assert code == 2
    assert "expected a path from the root" not in said
    assert "the run ended as 'not started'" in said
    assert "fleet" in said


def test_a_slip_in_a_setting_reaches_no_server():
    code, said = submit("results-dir=/results", "rouns=3")

    assert code == 2
    assert "unknown key 'rouns'; did you mean 'rounds'?" in said
