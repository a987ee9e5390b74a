"""What the pages tell a reader to do works."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY, SMALL


def test_strategy_of_the_page_runs_beside_the_server_app(cache: Path, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "your-strategy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    app_dir = tmp_path / "app"
    app_dir.mkdir()
    for name in ("pyproject.toml", "README.md", "server_app.py", "client_app.py"):
        shutil.copy(REPOSITORY / name, app_dir)
    for name in ("dtfl_app", "twin"):
        shutil.copytree(REPOSITORY / name, app_dir / name)
    (app_dir / "fading_twin.py").write_text(code)
    settings = {
        **SMALL,
        "strategy": "fading_twin:FadingTwin,fedavg",
        "strategy-options": "half-life=2.0",
        "results-dir": str(tmp_path),
        "run-name": "mine",
        "cache-dir": str(cache),
    }

    command = [sys.executable, "-m", "dtfl_app.cli.main", "run", "--app", str(app_dir)]
    command += [f"{key}={value}" for key, value in settings.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    lines = read_lines(tmp_path / "mine" / "metrics.jsonl")
    mine = [line for line in lines if line.strategy == "fading_twin:FadingTwin"]
    assert [line.round for line in mine] == [0, 1, 2, 3]
    assert all(line.server_steps > 0 for line in mine[1:])
    assert len([row for row in code.splitlines() if row.strip()]) <= 35


def test_settings_page_is_what_the_command_prints() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text()

    printed = CliRunner().invoke(app, ["settings"]).stdout

    assert printed.strip() in page
