"""The wheel is all that a user needs: built, installed into an empty environment, and run."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY, SMALL


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # The build's requirements are in this environment, so that no index is asked.
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(REPOSITORY)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it depends on, in which this folder is unknown."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    # Only now, or pip would see this environment's dtfl. Links in its folders are not followed.
    (site,) = (folder / "lib").glob("python*/site-packages")
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (site / "shared.pth").write_text("\n".join(shared) + "\n")
    for command in distribution("flwr").entry_points.select(group="console_scripts"):
        # As pip writes it: processes that simulate plants load it again, and must not run it.
        call = f'if __name__ == "__main__":\n    {command.attr}()\n'
        script = f"#!{python}\nfrom {command.module} import {command.attr}\n{call}"
        (folder / "bin" / command.name).write_text(script)
        (folder / "bin" / command.name).chmod(0o755)
    return python


def run(python: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of that environment in a folder, with nothing of this one's on the path."""
    left_out = ("FLWR_", "DTFL_", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    path = f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        command, cwd=folder, env={**kept, "PATH": path}, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_wheel_claims_two_names(wheel: Path) -> None:
    """A Flower app has a client_app and a server_app of its own, and tests of its own."""
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {name for name in names if not name.endswith(".dist-info")} == {"dtfl_app", "twin"}


@pytest.mark.parametrize("name", ["client_app", "server_app", "tests", "benchmarks"])
def test_an_installation_makes_no_other_name_known(python: Path, tmp_path: Path, name: str) -> None:
    code = f"import importlib.util as u; print(u.find_spec('twin').origin, u.find_spec({name!r}))"

    origin, found = run(python, tmp_path, str(python), "-c", code).stdout.split()

    assert Path(origin).is_relative_to(python.parents[1])
    assert found == "None"


def test_it_runs_in_an_empty_folder(python: Path, cache: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "strategy": "fedavg", "sites": 2, "rounds": 1, "twin.kind": "none"}
    words = [f"{key}={value}" for key, value in {**settings, "cache-dir": cache}.items()]

    done = run(python, tmp_path, "dtfl", "run", *words)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    (finished,) = (tmp_path / "results").iterdir()
    assert [line.sites for line in read_lines(finished / "metrics.jsonl")] == [0, 2]
    assert json.loads((finished / "config.json").read_text())["settings"]["detector.hidden"] == 32


def test_a_new_app_stands_on_it(python: Path, tmp_path: Path) -> None:
    """Flower finds the apps in the wheel, and the bundle is a few kB."""
    made = run(python, tmp_path, "dtfl", "new", "app", "my-plant")
    assert made.returncode == 0, made.stderr

    built = run(python, tmp_path / "my-plant", "flwr", "build")

    assert built.returncode == 0, built.stdout + built.stderr
    (bundle,) = (tmp_path / "my-plant").glob("*.fab")
    assert bundle.stat().st_size < 10_000
