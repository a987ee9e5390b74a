"""A whole run of the app in this process: BATADAL's plant, a recorded twin, small settings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from flwr.app import Context, RecordDict

import server_app
from dtfl_app.core.settings import Value
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.saved_models import SavedModel, load_model
from dtfl_app.sites.batadal import DATASET03, read_batadal
from dtfl_app.testing.grid import InProcessGrid
from tests.support.settings import keyed

__all__ = ["Launcher", "Run", "make_recording"]

SMALL: dict[str, Value] = {
    "dataset": "batadal",
    "twin.kind": "recorded",
    "twin.workers": 1,
    "twin.steps": 4,
    "twin.warm-steps": 10,
    "dtml.steps": 2,
    "detector.hidden": 16,
    "detector.latent": 4,
    "train.epochs": 1,
    "train.batch-size": 512,
    "rounds": 3,
    "join-timeout": 0.0,
    "device": "cpu",
}


@dataclass(frozen=True)
class Run:
    """What a run left behind, and the messages it took."""

    path: Path
    grid: InProcessGrid

    def lines(self, strategy: str) -> list[RoundLine]:
        """Lines of one strategy, from the start to the last round."""
        lines = read_lines(self.path / "metrics.jsonl")
        return [line for line in lines if line.strategy == strategy]

    def model(self, strategy: str) -> SavedModel:
        """The last model of one strategy."""
        return load_model(self.path / "models" / f"{strategy}.safetensors")

    def model_bytes(self) -> int:
        """Bytes of all parameters, as they travel."""
        params = self.model(self.lines_of_all()[0].strategy).params
        return sum(array.size for array in params.values()) * 4

    def lines_of_all(self) -> list[RoundLine]:
        """Lines of all strategies, in the order in which they were written."""
        return read_lines(self.path / "metrics.jsonl")


@dataclass
class Launcher:
    """Starts runs that share a results folder, a cache and a twin."""

    folder: Path
    data_dir: Path
    recording: Path
    started: int = 0

    def config(self, **settings: Value) -> dict[str, Value]:
        """Run config with `settings`, whose keys are written with _ for -."""
        self.started += 1
        return {
            **SMALL,
            "data.dir": str(self.data_dir),
            "cache-dir": str(self.folder / "cache"),
            "twin.recording": str(self.recording),
            "results-dir": str(self.folder),
            "run-name": f"run-{self.started}",
            **keyed(**settings),
        }

    def run(self, sites: int = 3, grid: dict | None = None, **settings: Value) -> Run:
        """Run the app with `sites` nodes; `grid` holds options of `InProcessGrid`."""
        config = self.config(**settings)
        nodes = InProcessGrid(sites, config, **(grid or {}))
        server_app.app(nodes, Context(1, 0, {}, RecordDict(), config))
        resumed = config.get("resume")
        return Run(Path(str(resumed)) if resumed else self.path(config), nodes)

    def path(self, config: dict[str, Value]) -> Path:
        """Folder of the run with this config."""
        return self.folder / str(config["run-name"])


def make_recording(path: Path, data_dir: Path) -> None:
    """Write what a twin might have recorded: 600 normal hours, and 200 with a false tank level."""
    plant = read_batadal(data_dir / "batadal" / DATASET03)
    normal, attacked = plant.iloc[:600].copy(), plant.iloc[600:800].copy()
    normal["instance"], attacked["instance"] = "normal", "attacked"
    rows = attacked.index[50:100]
    attacked.loc[rows, "L_T1"] += 2.0
    attacked.loc[rows, "label"] = np.int8(1)
    attacked.loc[rows, "event"] = "false level"
    pd.concat([normal, attacked]).to_parquet(path)
