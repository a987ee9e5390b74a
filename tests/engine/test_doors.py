"""The front doors make way for another app's modules; on the real engine in `tests/system`."""

import subprocess
import sys
from pathlib import Path

import pytest

from dtfl_app.engine.doors import made_way

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of another app, where Flower unpacks it."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    folder = tmp_path / "apps" / "somebody.other.1.0.0.12345678"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", ["client_app", "server_app"])
def test_in_a_process_that_serves_another_app_its_modules_come_before_ours(served, name):
    """As Ray orders the path: first the folder of the SuperLink, here ours, then the app's."""
    (served / f"{name}.py").write_text("from task import WHO\n")
    (served / "task.py").write_text("WHO = 'the other'\n")
    path = [str(REPOSITORY), str(served)]
    code = f"import sys\nsys.path[:0] = {path}\nimport {name}\nprint({name}.WHO, {name}.__file__)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == f"the other {served / name}.py"


def test_ours_stays_where_it_is_the_app_that_is_served(served, monkeypatch):
    own = served / "client_app.py"
    own.write_text("")
    monkeypatch.syspath_prepend(str(served))

    assert not made_way("client_app", str(own))


def test_ours_stays_where_the_app_that_is_served_has_no_such_module(served, monkeypatch):
    monkeypatch.syspath_prepend(str(served))

    assert not made_way("client_app", str(REPOSITORY / "client_app.py"))


def test_ours_stays_where_no_app_is_served():
    assert not made_way("client_app", str(REPOSITORY / "client_app.py"))
