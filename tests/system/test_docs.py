"""What the pages tell a reader to do works."""

import os
import re
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY, SMALL


def test_the_app_of_the_page_runs_with_its_strategy_beside_fedavg(
    cache: Path, tmp_path: Path
) -> None:
    """The commands as they stand, with small settings behind them."""
    page = (REPOSITORY / "docs" / "your-app.md").read_text()
    (script,) = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    small = {**SMALL, "strategy-options": '"half-life=2.0"', "run-name": "mine", "cache-dir": cache}
    words = " ".join(f"{key}={value}" for key, value in small.items())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["sh", "-eu", "-c", f"{script.strip()} {words}"],
        cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    lines = read_lines(tmp_path / "my-plant" / "results" / "mine" / "metrics.jsonl")
    mine = [line for line in lines if line.strategy == "fading_twin:FadingTwin"]
    assert [line.round for line in mine] == [0, 1, 2, 3]
    assert all(line.server_steps > 0 for line in mine[1:])


def test_the_page_s_strategy_is_short() -> None:
    page = (REPOSITORY / "docs" / "your-strategy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)

    assert len([row for row in code.splitlines() if row.strip()]) <= 35


def test_settings_page_is_what_the_command_prints() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text()

    printed = CliRunner().invoke(app, ["settings"]).stdout

    assert printed.strip() in page
