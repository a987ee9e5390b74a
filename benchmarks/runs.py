"""Running the cells of a benchmark and turning their figures into one table.

A finished cell (its folder holds summary.json) is not run again, so an aborted benchmark resumes.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dtfl_app.baselines import gather, measure
from dtfl_app.config import RunConfig
from dtfl_app.datasets import open_dataset
from dtfl_app.launch import SuperLink, simulate
from dtfl_app.results.lines import Summary
from dtfl_app.results.tables import markdown
from dtfl_app.server_tasks import open_session
from dtfl_app.settings import Value
from dtfl_app.strategies.base import DTFLStrategy
from dtfl_app.wire import to_record
from tests.support.in_process import InProcessGrid

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
WORK = REPOSITORY / "results" / "benchmarks"

BASELINES = (
    "random score",
    "untrained model",
    "one-class PCA",
    "twin only",
    "site alone",
    "centralised",
)
STRATEGIES = ("fedavg", "dtml", "fpf", "lpe", "cwa", "dtkd")


@dataclass(frozen=True)
class Cell:
    """One Flower run: its folder's name, its settings and how many sites it has."""

    name: str
    settings: Mapping[str, Value]
    sites: int

    def all_settings(self) -> dict[str, Value]:
        """Settings with the folders filled in."""
        return {
            "results-dir": str(WORK),
            "cache-dir": str(REPOSITORY / ".cache"),
            "data-dir": str(data_dir()),
            "run-name": self.name,
            **self.settings,
        }

    def config(self) -> RunConfig:
        """The same settings as the app reads them."""
        return RunConfig.from_mapping(self.all_settings())


def data_dir() -> Path:
    """Folder of the public data sets: DTFL_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("DTFL_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        sys.exit(f"no data folder {folder}; set DTFL_DATA to the folder with batadal/ and 3w/")
    return folder


def run_cells(link: SuperLink, cells: Sequence[Cell]) -> None:
    """Run every cell that is not finished yet, one after the other."""
    todo = [cell for cell in cells if not (WORK / cell.name / "summary.json").exists()]
    started = time.monotonic()
    for done, cell in enumerate(todo):
        left = (time.monotonic() - started) / max(done, 1) * (len(todo) - done) / 60
        ahead = f", about {left:.0f} min left" if done else ""
        print(f"[{done + 1}/{len(todo)}] {cell.name}{ahead}", flush=True)
        for line in simulate(
            link, REPOSITORY, cell.all_settings(), cell.sites, os.cpu_count() or 1
        ):
            if "ERROR" in line or "refused" in line:
                print(line, flush=True)


def summaries(cell: Cell) -> dict[str, dict[str, object]]:
    """Strategy -> its summary, of a finished cell."""
    entries = json.loads((WORK / cell.name / "summary.json").read_text())
    return {entry["strategy"]: entry for entry in entries}


def stored_baselines(cell: Cell) -> dict[str, list[dict[str, float]]]:
    """Measure the rows that do not federate, or read them where they are stored already."""
    path = WORK / f"{cell.name}-baselines.json"
    if not path.exists():
        config = cell.config()
        measured = measure(gather(config, open_dataset(config), cell.sites))
        plain = {name: [m.as_dict() for m in entries] for name, entries in measured.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plain))
    stored: dict[str, list[dict[str, float]]] = json.loads(path.read_text())
    return stored


def average(entries: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every figure."""
    return {key: float(np.mean([e[key] for e in entries])) for key in entries[0]}


def run_in_process(
    settings: dict[str, Value], sites: int
) -> tuple[RunConfig, DTFLStrategy, Summary]:
    """Run one strategy without Flower's processes: the same numbers in a fraction of the time.

    Returns the settings, the strategy with its last model, and its summary.
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = {
            "results-dir": folder,
            "cache-dir": str(REPOSITORY / ".cache"),
            **settings,
        }
        config = RunConfig.from_mapping(chosen)
        grid = InProcessGrid(sites, chosen)
        session = open_session(grid, config)
        strategy = session.create(config.run.strategy)
        start = to_record(session.initial_params(strategy))
        strategy.start(grid, start, config.run.rounds)
        return config, strategy, session.finish()[0]


def spread(values: Sequence[float | None], digits: int = 3) -> str:
    """Mean and standard deviation, or the number alone where there is one."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return "-"
    mean = f"{np.mean(known):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(known, ddof=1):.{digits}f}"


def rounds_text(rounds: Sequence[int | None], horizon: int) -> str:
    """Rounds to the target per seed, e.g. "2, 2, 3"; "-" stands for not within the horizon."""
    if all(r is None for r in rounds):
        return f"not in {horizon}"
    return ", ".join("-" if r is None else str(r) for r in rounds)


def write_table(name: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: str) -> None:
    """Print the table and store it as Markdown with where it comes from."""
    RESULTS.mkdir(exist_ok=True)
    text = f"{notes}\n\n{markdown(head, rows)}\n\n{_origin()}\n"
    (RESULTS / f"{name}.md").write_text(text)
    print(text)


def _origin() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    command = " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    versions = ", ".join(f"{p} {version(p)}" for p in ("flwr", "ray", "torch", "wntr"))
    return (
        f"Made by `{command}` "
        f"at commit {commit or 'unknown'} on {date.today()}; {versions}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}."
    )
