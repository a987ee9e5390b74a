"""The folder of one run.

config.json    every setting used, and the versions of what it ran on
quality.json   per site and channel: readings missing, frozen, set to missing
metrics.jsonl  one line per strategy and round
models/        <strategy>.safetensors: the last model with its scaling and threshold
alarms/        <strategy>.csv: score and alarm per time step of the evaluation set
summary.json   rounds, bytes, steps and seconds to the target; the last model's figures
curves.png     balanced accuracy over rounds and over bytes
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from dtfl_app.errors import ConfigError
from dtfl_app.results.files import write_atomically
from dtfl_app.results.lines import RoundLine, Summary, read_lines, summarise
from dtfl_app.results.models import SavedModel, save_model
from dtfl_app.results.plots import plot_curves

__all__ = ["RunDirectory"]

_PACKAGES = ("dtfl", "flwr", "ray", "torch", "numpy", "pandas", "scikit-learn", "wntr")


class RunDirectory:
    """Writes a run's results as they come, so an aborted run leaves all it had.

    Parameters
    ----------
    path : an empty or missing folder; ConfigError when it already holds a run.
    settings : run-config key -> value, as used.
    target : balanced accuracy that counts as reached.
    """

    def __init__(self, path: Path, settings: Mapping[str, object], target: float) -> None:
        if (path / "config.json").exists():
            raise ConfigError(
                f"{path} already holds a run; choose another run-name, or remove the folder"
            )
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.target = target
        self._metrics = path / "metrics.jsonl"
        versions = {name: _version(name) for name in _PACKAGES}
        about = {
            "settings": dict(settings),
            "versions": versions,
            "python": platform.python_version(),
        }
        self._write_json("config.json", about)

    def record(self, line: RoundLine) -> None:
        """Append one line to metrics.jsonl."""
        with self._metrics.open("a") as file:
            file.write(line.to_json() + "\n")

    def save_model(self, strategy: str, model: SavedModel) -> None:
        """Store the last model of a strategy."""
        save_model(self.path / "models" / f"{_file_name(strategy)}.safetensors", model)

    def save_quality(self, quality: Mapping[str, object]) -> None:
        """Store how sound each site's readings are."""
        self._write_json("quality.json", quality)

    def save_alarms(self, strategy: str, alarms: pd.DataFrame) -> None:
        """Store scores and alarms on the evaluation set."""
        path = self.path / "alarms" / f"{_file_name(strategy)}.csv"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, alarms.to_csv(index=False).encode())

    def finish(self, title: str) -> list[Summary]:
        """Write summary.json and curves.png; return the summaries."""
        lines = read_lines(self._metrics)
        summaries = summarise(lines, self.target)
        self._write_json("summary.json", [s.to_mapping() for s in summaries])
        plot_curves(lines, self.target, title, self.path / "curves.png")
        return summaries

    def _write_json(self, name: str, content: object) -> None:
        text = json.dumps(content, indent=1, allow_nan=False)
        write_atomically(self.path / name, text.encode())


def _version(package: str) -> str:
    """Version of a package; the app itself may travel as a Flower bundle and not be installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _file_name(strategy: str) -> str:
    """File name for a strategy that may be an import path."""
    return strategy.replace(":", ".")
