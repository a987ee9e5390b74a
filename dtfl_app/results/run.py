"""The folder of one run.

config.json    every setting used, when it started, and versions and hardware it ran on
quality.json   per site and channel: readings missing, frozen, set to missing
metrics.jsonl  one line per strategy and round
models/        <strategy>.safetensors: the last model with its scaling and threshold
alarms/        <strategy>.csv: score and alarm per time step of the evaluation set
calibration.json  wanted and observed false-alarm rates, by strategy and site
groups.json    protocol unseen-families: the last model's figures by strategy and group of events
summary.json   rounds, bytes, steps and seconds to the target; the last model's figures
curves.png     balanced accuracy over rounds and over bytes
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import psutil

from dtfl_app.detector.metrics import Metrics
from dtfl_app.errors import ConfigError
from dtfl_app.results.files import write_atomically
from dtfl_app.results.lines import RoundLine, Summary, plain_figures, read_lines, summarise
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
        self._groups: dict[str, Mapping[str, Metrics]] = {}
        self._calibration: list[dict[str, object]] = []
        versions = {name: _version(name) for name in _PACKAGES}
        about = {
            "settings": dict(settings),
            "versions": versions,
            "python": platform.python_version(),
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "system": platform.platform(),
            "hardware": _hardware(),
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

    def save_calibration(self, strategy: str, rates: Sequence[Mapping[str, object]]) -> None:
        """Store wanted and observed false-alarm rates of a strategy's last model, per site."""
        self._calibration += [{"strategy": strategy, **rate} for rate in rates]
        self._write_json("calibration.json", self._calibration)

    def save_groups(self, strategy: str, groups: Mapping[str, Metrics]) -> None:
        """Store a strategy's figures by group of events."""
        self._groups[strategy] = groups
        plain = {
            name: {group: plain_figures(metrics) for group, metrics in found.items()}
            for name, found in self._groups.items()
        }
        self._write_json("groups.json", plain)

    def finish(self, title: str) -> list[Summary]:
        """Write summary.json and curves.png; return the summaries."""
        lines = read_lines(self._metrics)
        summaries = [
            replace(s, groups=self._groups.get(s.strategy, {}))
            for s in summarise(lines, self.target)
        ]
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


def _hardware() -> str:
    """Cores, architecture and memory; no name that tells which machine it is."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores {platform.machine()}, {memory:.0f} GiB"


def _file_name(strategy: str) -> str:
    """File name for a strategy that may be an import path."""
    return strategy.replace(":", ".")
