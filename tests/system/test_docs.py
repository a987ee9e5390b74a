"""What the pages tell a reader to do works."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dtfl_app.cli import app
from dtfl_app.launch import simulate, superlink
from dtfl_app.results.lines import read_lines
from tests.system.conftest import REPOSITORY, SMALL


def test_strategy_of_the_page_runs_on_the_engine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (REPOSITORY / "docs" / "your-strategy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "fading_twin.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = {
        **SMALL,
        "strategy": "fading_twin:FadingTwin",
        "strategy-options": "half-life=2.0",
        "results-dir": str(tmp_path),
        "run-name": "mine",
        "cache-dir": str(cache),
    }

    with superlink() as link:
        list(simulate(link, REPOSITORY, settings, sites=3, actors=2))

    lines = read_lines(tmp_path / "mine" / "metrics.jsonl")
    assert [line.round for line in lines] == [0, 1, 2, 3]
    assert all(line.server_steps > 0 for line in lines[1:])
    assert len([row for row in code.splitlines() if row.strip()]) <= 35


def test_settings_page_is_what_the_command_prints() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text()

    printed = CliRunner().invoke(app, ["settings"]).stdout

    assert printed.strip() in page
