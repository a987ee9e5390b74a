"""A run that was broken off, and the `dtfl` command as a person uses it on one."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.core.config import RunConfig
from dtfl_app.results.checkpoint import Checkpoint
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.strategies.registry import default_settings
from tests.support.figures import line_of

__all__ = ["SETTINGS", "invoke", "write_broken_off"]

CHANGED = {"plants.days": 9, "train.lr": 0.5, "cache-dir": "/cache"}
SETTINGS = {**default_settings(), **RunConfig.from_mapping(CHANGED).to_mapping()}


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def write_broken_off(folder: Path) -> RunDirectory:
    """Broken off after the checkpoints of rounds 5 and 10."""
    run = RunDirectory(folder, SETTINGS, target=0.8)
    run.save_quality({"plant-01": {}, "plant-02": {}})
    run.record(line_of("cwa", 0, 0.5))
    for number in (5, 10):
        run.checkpoints.write(
            Checkpoint(
                "cwa", number, SETTINGS, {"w": np.ones(9)}, {}, run.history, run.timings, run.run
            )
        )
    return run
