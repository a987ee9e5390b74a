"""dtfl bench: run a grid, or what is missing of it, and write its tables."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dtfl_app.bench.cells import BaselineCell, Cell, baseline_cells, cells_of, merge
from dtfl_app.bench.grid import Grid, read_grid
from dtfl_app.bench.outputs import write_outputs
from dtfl_app.bench.progress import Display
from dtfl_app.bench.store import Store
from dtfl_app.bench.tasks import Place, Task
from dtfl_app.bench.workers import work_off
from dtfl_app.cli.app_folder import HELP as APP_HELP
from dtfl_app.cli.app_folder import open_app
from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.errors import ConfigError
from dtfl_app.sites.catalogue import find_dataset
from dtfl_app.sites.folders import resolve_data_dir

__all__ = ["bench"]

# Two runs at once on two cores take three quarters of the time of one after the other.
_DEFAULT_JOBS = 2
# Missing cells that are named at the end.
_SHOWN = 20


def bench(
    file: Annotated[Path, typer.Argument(help="the grid, e.g. benchmarks/batadal.toml")],
    jobs: Annotated[int, typer.Option(min=0, help="Flower runs at once; 0 = by cores")] = 0,
    work: Annotated[Path, typer.Option(help="finished cells")] = Path("results/bench"),
    results: Annotated[Path, typer.Option(help="tables and plots")] = Path("benchmarks/results"),
    cache: Annotated[Path, typer.Option(help="simulated data")] = Path(".cache"),
    app_dir: Annotated[Path | None, typer.Option("--app", help=APP_HELP)] = None,
    seeds: Annotated[str, typer.Option(help="instead of the grid's, e.g. 0,1")] = "",
    only: Annotated[str, typer.Option(help="run cells whose name this pattern finds")] = "",
    tables: Annotated[bool, typer.Option("--tables", help="run nothing, write tables")] = False,
) -> None:
    """Run a grid of federations through Flower's engine and write tables, plots and Parquet.

    Finished cells are stored and never run again, so that a stopped or extended bench goes on.
    Exit code 1 says that cells are missing at the end: run it again.
    """
    console = plain_console()
    # Python's default for SIGTERM skips the clean-up that stops the engines.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with clear_errors(), open_app(app_dir) as app:
        grid = _with_seeds(read_grid(file), seeds)
        cells, baselines = cells_of(grid), baseline_cells(grid)
        store = Store(work.absolute())
        if not tables:
            tasks = _missing(cells, baselines, store, _pattern(only))
            place = _place(grid, app.path, work, cache, jobs)
            _work_off(tasks, place, console)
        command = _command(file, seeds, only)
        for path in write_outputs(grid, store, results, command):
            console.print(f"  {path}", highlight=False)
    every: list[Cell | BaselineCell] = [*cells, *baselines]
    missing = [cell.name for cell in every if cell.digest not in store]
    if missing:
        console.print(f"cells missing: {len(missing)} of {len(every)}")
        shown = [f"  {name}" for name in missing[:_SHOWN]]
        shown += [f"  and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
        console.print("\n".join(shown), highlight=False)
        raise typer.Exit(1)


def _work_off(tasks: Sequence[Task], place: Place, console: Console) -> None:
    if not tasks:
        console.print("nothing to run: all these cells are stored")
        return
    with Display(tasks, console) as display:
        work_off(tasks, place, display)


def _missing(
    cells: Sequence[Cell], baselines: Sequence[BaselineCell], store: Store, only: re.Pattern[str]
) -> list[Task]:
    """The runs that give what is not stored yet; cells of equal digests run once."""
    todo = [c for c in cells if c.digest not in store and only.search(c.name)]
    wanted: dict[str, BaselineCell] = {}
    for cell in baselines:
        if cell.digest not in store and only.search(cell.name):
            wanted.setdefault(cell.digest, cell)
    return [*merge(todo), *wanted.values()]


def _place(grid: Grid, app: Path, work: Path, cache: Path, jobs: int) -> Place:
    cores = os.cpu_count() or 1
    jobs = jobs or min(_DEFAULT_JOBS, cores)
    needs_data = any(find_dataset(str(c.common["dataset"])).reads_data_dir for c in cells_of(grid))
    return Place(
        app=app,
        work=work.absolute(),
        cache=cache.absolute(),
        data=str(resolve_data_dir("")) if needs_data else "",
        actors=max(1, cores // jobs),
        jobs=jobs,
    )


def _with_seeds(grid: Grid, text: str) -> Grid:
    if not text:
        return grid
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ConfigError(f"--seeds {text!r}; expected whole numbers, e.g. --seeds 0,1")
    seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    return replace(
        grid,
        seeds=seeds,
        variants=tuple(replace(v, seeds=()) for v in grid.variants),
        sweeps=tuple(replace(s, seeds=()) for s in grid.sweeps),
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(f"--only {text!r} is no pattern ({error}); e.g. --only CWA") from error


def _command(file: Path, seeds: str, only: str) -> str:
    options = [f"--seeds {seeds}"] if seeds else []
    options += [f"--only '{only}'"] if only else []
    return " ".join(["dtfl bench", str(file), *options])
