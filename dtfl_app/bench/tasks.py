"""What a worker does: a Flower run that gives several cells, or the baselines of one data set."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dtfl_app.bench.cells import BaselineCell, FlowerRun
from dtfl_app.bench.provenance import Provenance
from dtfl_app.bench.store import Store, finished_strategies
from dtfl_app.core.config import RunConfig, keys_with
from dtfl_app.core.errors import FederationError
from dtfl_app.core.logs import read_line, without_colours
from dtfl_app.core.settings import Value
from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.evaluation.baselines import BASELINES, gather, measure
from dtfl_app.sites.catalogue import open_dataset

__all__ = ["Place", "Report", "Task", "perform", "work_units"]

# Told by a task as it goes: how much is done, of `work_units`, and what it is at.
Report = Callable[[float, str], None]


# Rounds that take as long as the start of a run, and as measuring the baselines of one data set.
_START_ROUNDS, _BASELINE_ROUNDS = 60, 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bench works.

    Parameters
    ----------
    app : folder with the app's pyproject.toml.
    work : finished cells, and runs under way.
    cache, data : folders of simulated data and of the public data sets.
    actors : worker processes of one Flower run.
    jobs : runs at once.
    """

    app: Path
    work: Path
    cache: Path
    data: str
    actors: int
    jobs: int


Task = FlowerRun | BaselineCell


def work_units(task: Task) -> float:
    """Size of a task, in rounds of one strategy."""
    if isinstance(task, BaselineCell):
        return _BASELINE_ROUNDS
    return _START_ROUNDS + len(task.cells) * int(task.settings["rounds"])


def perform(task: Task, place: Place, link: Callable[[], SuperLink], report: Report) -> None:
    """Do the task and store its cells; what a failed run finished is stored before it raises."""
    if isinstance(task, BaselineCell):
        _measure_baselines(task, place, report)
    else:
        _run(task, place, link(), report)


def _run(run: FlowerRun, place: Place, link: SuperLink, report: Report) -> None:
    (place.work / "runs").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=place.work / "runs"))
    settings = {
        **_on_this_machine(run.settings, place),
        "results-dir": str(folder.parent),
        "run-name": folder.name,
    }
    origin = Provenance.here(place.app)
    started = time.monotonic()
    lines = simulate(link, place.app, settings, int(settings["sites"]), place.actors)
    try:
        _follow(lines, folder / "flower.log", report)
    except FederationError as error:
        raise FederationError(f"{error}\nits whole log: {folder / 'flower.log'}") from error
    finally:
        about = {
            "settings": run.settings,
            "run_seconds": time.monotonic() - started,
            "strategies_in_run": len(run.cells),
            "jobs": place.jobs,
            **origin.to_mapping(),
        }
        store = Store(place.work)
        for strategy in finished_strategies(folder, run.cells):
            store.keep(run.cells[strategy], folder, strategy, about)
    shutil.rmtree(folder)


def _follow(lines: Iterator[str], path: Path, report: Report) -> None:
    """Keep the log; count the rounds that have ended."""
    done = 0
    with path.open("w") as log:
        for line in lines:
            log.write(without_colours(line) + "\n")
            told = read_line(line)
            if told is not None and told.kind == "round":
                event = told.event
                # Each strategy also measures its start, as round 0.
                done = max(done, _START_ROUNDS) + (event["round"] > 0)
                report(done, f"{event['strategy']} round {event['round']}/{event['rounds']}")
            elif told is not None:
                report(done, told.sentence[:60])


def _measure_baselines(cell: BaselineCell, place: Place, report: Report) -> None:
    origin = Provenance.here(place.app)
    config = RunConfig.from_mapping(_on_this_machine(cell.settings, place))
    report(0.0, "loading data")
    started = time.monotonic()
    material = gather(config, open_dataset(config), config.run.sites)
    rows = {}
    for done, (name, figures) in enumerate(measure(material), start=1):
        rows[name] = [m.as_dict() for m in figures]
        report(_BASELINE_ROUNDS * done / len(BASELINES), name)
    about = {
        "settings": dict(cell.settings),
        "run_seconds": time.monotonic() - started,
        "jobs": place.jobs,
        **origin.to_mapping(),
    }
    Store(place.work).keep_baselines(cell.digest, rows, about)


def _on_this_machine(settings: Mapping[str, Value], place: Place) -> dict[str, Value]:
    """Fill in the folders; a file that is named from the current folder gets its whole path."""
    full = {**settings, "cache-dir": str(place.cache), "data.dir": place.data}
    for key in keys_with("path", "data-file"):
        if full[key] and Path(str(full[key])).is_file():
            full[key] = str(Path(str(full[key])).absolute())
    return full
