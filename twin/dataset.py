"""From a plan of scenarios to one labelled synthetic data set: parallel, cached, reproducible."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from twin.base import Scenario, Twin
from twin.errors import ScenarioError, TwinError
from twin.files import write_atomically
from twin.schema import INSTANCE, Schema

__all__ = [
    "FORMAT_VERSION",
    "ReportingTwin",
    "SolverReport",
    "TwinDataset",
    "build_dataset",
    "dataset_digest",
]

# Part of every cache name: raise it when the same plan would give other bytes.
FORMAT_VERSION = 1

# What solvers raise of their own in a scenario that they cannot follow; a slip in a twin's code
# that has to do with the scenario comes as one of these, too.
_FAILURES = (ArithmeticError, ValueError, RuntimeError)

_log = logging.getLogger(__name__)


class SolverReport(Protocol):
    """How the solver fared in one scenario."""

    @property
    def warnings(self) -> Mapping[str, int]:
        """Text of a solver warning -> number of steps that gave it."""
        ...


@runtime_checkable
class ReportingTwin(Protocol):
    """A twin that also tells how its solver fared; one that does not counts as no warnings."""

    def simulate_with_report(self, scenario: Scenario) -> tuple[pd.DataFrame, SolverReport]:
        """Run one scenario as ``Twin.simulate`` does."""
        ...


@dataclass(frozen=True)
class TwinDataset:
    """A synthetic data set and how it came about.

    Parameters
    ----------
    series : labelled series of all scenarios that ran, in plan order.
    path : Parquet file that holds it; the JSON beside it holds the plan.
    hours_per_second : simulated hours per second of wall time when it was built.
    dropped : scenario name -> reason, for those that did not converge.
    solver_warnings : text of a solver warning -> number of steps with it, over all scenarios that
        ran.
    from_cache : whether it was read and not simulated.
    """

    series: pd.DataFrame
    path: Path
    hours_per_second: float
    dropped: Mapping[str, str]
    solver_warnings: Mapping[str, int]
    from_cache: bool


@dataclass(frozen=True)
class _Outcome:
    """What one scenario gave: a series and its solver warnings, or why there is none."""

    series: pd.DataFrame | None
    warnings: Mapping[str, int]
    reason: str = ""


def build_dataset(
    twin: Twin,
    scenarios: Sequence[Scenario],
    cache_dir: Path | str,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> TwinDataset:
    """Simulate `scenarios` and return them as one labelled series.

    The result is the same bit for bit whatever `workers` is, and whether it is simulated or
    read from the cache. A scenario that raises ScenarioError, or fails otherwise in its arithmetic
    or in a solver, is dropped with its reason.

    Parameters
    ----------
    twin : where the series come from; it must be picklable when ``workers > 1``.
    scenarios : what to simulate; names must be unique.
    cache_dir : directory of the cache, made when absent.
    workers : processes to simulate in, >= 1. They are spawned, so a script must guard its entry
        with ``if __name__ == "__main__"``.
    on_progress : called with (scenarios done, scenarios in all) as they finish, in plan order.

    Raises TwinError when the plan is empty or repeats a name, when every scenario fails, or when a
    twin cannot be sent to processes or returns no series.
    """
    _check_plan(scenarios, workers)
    digest = dataset_digest(twin, scenarios)
    path = Path(cache_dir) / f"twin-{digest}.parquet"
    cached = _read_cache(path)
    if cached is not None:
        return cached
    started = time.perf_counter()
    outcomes = _run_all(twin, scenarios, workers, on_progress)
    seconds = time.perf_counter() - started
    series = _joined(scenarios, outcomes)
    twin.schema.validate(series, f"twin data set {digest}")
    _write_cache(path, series, _record(twin, scenarios, outcomes, seconds))
    built = _read_cache(path)
    if built is None:
        raise TwinError(f"{path}: reads back differently from what was written; check the disk")
    return TwinDataset(**{**vars(built), "from_cache": False})


def dataset_digest(twin: Twin, scenarios: Sequence[Scenario]) -> str:
    """16 hexadecimal digits of everything that determines a data set's content."""
    parts = [FORMAT_VERSION, twin.fingerprint(), twin.schema.digest(), _plan(scenarios)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _plan(scenarios: Sequence[Scenario]) -> list[dict[str, Any]]:
    return [asdict(scenario) for scenario in scenarios]


def _check_plan(scenarios: Sequence[Scenario], workers: int) -> None:
    names = [s.name for s in scenarios]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if not names or repeated:
        raise TwinError(
            f"plan of {len(names)} scenarios, repeated names {repeated}; expected at "
            "least one scenario and every name once"
        )
    if workers < 1:
        raise TwinError(f"workers is {workers}; expected at least 1 process")


# -- simulating ---------------------------------------------------------------------------------


def _run_all(
    twin: Twin,
    scenarios: Sequence[Scenario],
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> list[_Outcome]:
    outcomes = []
    for done, outcome in enumerate(_outcomes(twin, scenarios, workers), start=1):
        if outcome.series is None:
            _log.warning("scenario %r dropped: %s", scenarios[done - 1].name, outcome.reason)
        outcomes.append(outcome)
        if on_progress is not None:
            on_progress(done, len(scenarios))
    return outcomes


def _outcomes(twin: Twin, scenarios: Sequence[Scenario], workers: int) -> Iterator[_Outcome]:
    if workers == 1 or len(scenarios) == 1:
        yield from (_simulate(twin, scenario) for scenario in scenarios)
        return
    _require_picklable(twin)
    # The solver is a C library with global state: forking a process that uses it is unsafe.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, _set_twin, (twin,)) as pool:
            yield from pool.map(_simulate_in_worker, scenarios)
    except BrokenProcessPool as error:
        raise TwinError(
            f"a simulation process died ({error}); likely out of memory: use fewer workers"
        ) from error


def _require_picklable(twin: Twin) -> None:
    try:
        pickle.dumps(twin)
    except Exception as error:  # whatever a class of somebody's own raises
        raise TwinError(
            f"{type(twin).__name__} cannot be sent to the processes that simulate "
            f"({type(error).__name__}: {error}); keep in it only what can be pickled, or simulate "
            "in this process alone: twin.workers=1"
        ) from error


_worker_twin: Twin


def _set_twin(twin: Twin) -> None:
    # Sent once per process: a recorded twin carries its whole recording.
    global _worker_twin  # noqa: PLW0603 - a pool's initializer can hand over nothing else
    _worker_twin = twin


def _simulate_in_worker(scenario: Scenario) -> _Outcome:
    return _simulate(_worker_twin, scenario)


def _simulate(twin: Twin, scenario: Scenario) -> _Outcome:
    try:
        if isinstance(twin, ReportingTwin):
            series, report = twin.simulate_with_report(scenario)
            return _Outcome(series, dict(report.warnings))
        return _Outcome(_checked(twin.simulate(scenario), scenario, twin.schema), {})
    except ScenarioError as error:
        return _Outcome(None, {}, str(error))
    except _FAILURES as error:
        return _Outcome(None, {}, f"{type(error).__name__}: {error}")


def _checked(series: object, scenario: Scenario, schema: Schema) -> pd.DataFrame:
    found = list(series.columns) if isinstance(series, pd.DataFrame) else type(series).__name__
    if not isinstance(series, pd.DataFrame) or not set(schema.columns) <= set(series.columns):
        raise TwinError(
            f"scenario {scenario.name!r} gives {found}; expected a table of {schema.columns}"
        )
    return series


def _joined(scenarios: Sequence[Scenario], outcomes: Sequence[_Outcome]) -> pd.DataFrame:
    parts = [o.series for o in outcomes if o.series is not None]
    if not parts:
        raise TwinError(
            f"all {len(scenarios)} scenarios failed; the first ({scenarios[0].name!r}): "
            f"{outcomes[0].reason}"
        )
    instances = [name for part in parts for name in part[INSTANCE].unique()]
    if len(set(instances)) != len(instances):
        raise TwinError(
            "two scenarios returned the same instance name; the twin must name each "
            "instance after its scenario"
        )
    return pd.concat(parts, ignore_index=True)


# -- caching ------------------------------------------------------------------------------------


def _record(
    twin: Twin, scenarios: Sequence[Scenario], outcomes: Sequence[_Outcome], seconds: float
) -> dict[str, Any]:
    ran = [s for s, o in zip(scenarios, outcomes, strict=True) if o.series is not None]
    failed = zip(scenarios, outcomes, strict=True)
    return {
        "format_version": FORMAT_VERSION,
        "twin": twin.fingerprint(),
        "schema": twin.schema.digest(),
        "plan": _plan(scenarios),
        "dropped": {s.name: o.reason for s, o in failed if o.series is None},
        "solver_warnings": dict(sum((Counter(o.warnings) for o in outcomes), Counter[str]())),
        "hours_per_second": sum(s.hours for s in ran) / max(seconds, 1e-9),
    }


def _write_cache(path: Path, series: pd.DataFrame, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, series.to_parquet(index=False))
    record = {**record, "sha256": _sha256(path)}
    # The record comes last: a data file without one is not yet, or no longer, complete.
    text = json.dumps(record, indent=1, sort_keys=True)
    write_atomically(path.with_suffix(".json"), text.encode())


def _read_cache(path: Path) -> TwinDataset | None:
    if not path.exists():
        return None
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        if _sha256(path) != record["sha256"]:
            raise ValueError("its checksum differs from the one in the JSON beside it")
        return TwinDataset(
            series=pd.read_parquet(path),
            path=path,
            hours_per_second=float(record["hours_per_second"]),
            dropped=dict(record["dropped"]),
            solver_warnings=dict(record["solver_warnings"]),
            from_cache=True,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cached twin data set %s is unusable (%s); simulating it again", path, error)
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
