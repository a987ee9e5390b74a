"""Runs on the folder of a station, in this process."""

from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, RecordDict

import server_app
from dtfl_app.testing.grid import InProcessGrid
from tests.support.runs import SMALL, Run
from tests.support.settings import keyed

__all__ = ["Station"]


@dataclass
class Station:
    """Starts runs on a station's folder."""

    folder: Path
    results: Path
    started: int = 0

    def run(self, nodes=(), sites: int = 3, **settings) -> Run:
        self.started += 1
        told = {
            **SMALL,
            "dataset": "files",
            "twin.kind": "auto",
            "data.dir": str(self.folder),
            "data.evaluation-file": "judge.csv",
            "cache-dir": str(self.results / "cache"),
            "results-dir": str(self.results),
            "run-name": f"run-{self.started}",
            "lpe.low": 2,
            "lpe.high": 2,
            **keyed(**settings),
        }
        grid = InProcessGrid(sites, told, node_configs=nodes)
        server_app.app(grid, Context(1, 0, {}, RecordDict(), told))
        return Run(self.results / str(told["run-name"]), grid)

    def deployed(self, nodes, **settings) -> Run:
        """As in deployment: nodes have files of their own, the server has the schema alone."""
        paths = {
            "data__schema": str(self.folder / "schema.toml"),
            "data__evaluation_file": str(self.folder / "judge.csv"),
        }
        return self.run(nodes, **{"data__dir": "", **paths, **settings})
