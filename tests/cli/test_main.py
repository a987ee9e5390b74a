"""The `dtfl` command as a person uses it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.cli.run import _with_defaults, parse_settings
from tests.support.places import REPOSITORY, SMALL


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout, result.stderr


def test_run_shows_progress_a_table_the_attacks_and_where_the_results_are(
    cache: Path, tmp_path: Path
) -> None:
    settings = [f"{key}={value}" for key, value in SMALL.items()]

    code, out, _ = invoke(
        "run", "--app", str(REPOSITORY), *settings, "strategy=cwa",
        f"results-dir={tmp_path}", "run-name=cli", f"cache-dir={cache}",
    )  # fmt: skip

    assert code == 0
    assert "cwa round 3/3: balanced accuracy" in out
    assert "balanced accuracy 0.8, and where it ended" in out
    assert "alarms of cwa on each event" in out
    assert "metrics.jsonl" in out
    settings_used = json.loads((tmp_path / "cli" / "config.json").read_text())["settings"]
    assert {key: settings_used[key] for key in SMALL} == SMALL
    assert (tmp_path / "cli" / "flower.log").read_text()


def test_slip_in_a_setting_is_one_clear_line_before_anything_starts() -> None:
    code, _, err = invoke("run", "rouns=3")

    assert code == 2
    assert err.strip() == "error: run config: unknown key 'rouns'; did you mean 'rounds'?"


def test_files_become_absolute_paths_and_the_embedded_network_keeps_its_name() -> None:
    full = _with_defaults({"twin.plant": "plant.json", "twin.network": "embedded"})

    assert full["twin.plant"] == str(Path.cwd() / "plant.json")
    assert full["twin.network"] == "embedded"


def test_word_that_is_no_setting_is_one_clear_line() -> None:
    code, _, err = invoke("run", "cwa")

    assert code == 2
    assert "expected key=value" in err


def test_folder_without_a_run_is_one_clear_line(tmp_path: Path) -> None:
    code, _, err = invoke("show", str(tmp_path))

    assert code == 2
    assert "holds no finished run" in err


def test_a_fault_of_the_program_shows_no_variables(tmp_path: Path) -> None:
    """A command whose module fails, as a user's process shows it: where, and none of its values."""
    script = (
        "import os\n"
        "from dtfl_app.cli import main\n"
        "def fail():\n"
        "    secret = os.environ['SECRET']\n"
        "    raise RuntimeError('a fault')\n"
        "main.app.command('fail')(fail)\n"
        "main._OnDemand.get_command = lambda self, ctx, name: self.commands[name]\n"
        "main.app(['fail'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "SECRET": "hunter2"},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 1 and "a fault" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_text_that_looks_like_a_number_needs_no_quotes():
    words = ["twin.weight=0.5", "rounds=3", "run-name=2024", 'strategy="cwa"', "twin.kind=none"]

    assert parse_settings(words) == {
        "twin.weight": "0.5",
        "rounds": 3,
        "run-name": "2024",
        "strategy": "cwa",
        "twin.kind": "none",
    }
