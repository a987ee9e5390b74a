"""What a run's folder holds, read once and checked, finished or not."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.core.naming import file_name
from dtfl_app.core.renamed import modern
from dtfl_app.results.alarm_table import without_marks
from dtfl_app.results.lines import METRICS, RoundLine, read_lines, summarise
from dtfl_app.results.measures import Measures, measures_of, step_seconds
from dtfl_app.results.promises import Promise, promises
from dtfl_app.results.run_events import EVENTS, RunEvent, read_events
from dtfl_app.results.run_facts import RunFacts
from dtfl_app.results.spending import PRIVACY, Spending, read_spending

__all__ = ["NO_SITE", "RunContents", "SiteCalibration", "StoredFile", "read_run", "stored_files"]

T = TypeVar("T")

#: The site of readings that belong to no single one, in calibration.json.
NO_SITE = "evaluation"

_ALARM_COLUMNS = ("instance", "time", "label", "event", "score", "threshold", "alarm", "channel")
_DISTANCE_COLUMNS = ("channel", "twin_mean", "plant_mean", "twin_sd", "plant_sd", "ks")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file that a page was made from.

    Parameters
    ----------
    name : path within the folder.
    size : bytes.
    sha256 : hexadecimal digest of the content.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SiteCalibration:
    """False alarms of one strategy at one site: wanted and observed on normal steps.

    Parameters
    ----------
    strategy, site : whose.
    wanted, observed : shares of normal time steps with an alarm, in [0, 1].
    normal_steps : time steps the observed share is over.
    drift : what keeps the observed rate from the wanted one; empty = nothing does.
    """

    strategy: str
    site: str
    wanted: float
    observed: float
    normal_steps: int
    drift: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RunContents:
    """A run's folder in memory.

    Parameters
    ----------
    name : name of the folder.
    about : content of config.json.
    finished : whether summary.json is there; without it, summaries come from the lines.
    lines : one per strategy and round.
    summaries : one mapping per strategy, the numbers as stored.
    quality : site -> channel -> shares missing, frozen, removed.
    alarms : strategy -> score and alarm per time step of the evaluation set.
    calibration : wanted and observed false alarms per strategy and site; may be empty.
    events : what happened besides, in the order in which it was noted.
    privacy : account of the sites' noisy updates; None without differential privacy.
    twin_distance : table of `dtfl twin compare`, one row per channel; None without one.
    files : what was there.
    """

    name: str
    about: Mapping[str, Any]
    finished: bool
    lines: list[RoundLine]
    summaries: list[dict[str, Any]]
    quality: Mapping[str, Mapping[str, Mapping[str, float]]]
    alarms: Mapping[str, pd.DataFrame]
    calibration: list[SiteCalibration]
    events: list[RunEvent]
    privacy: Spending | None
    twin_distance: pd.DataFrame | None
    files: list[StoredFile]

    @property
    def twin_kind(self) -> str:
        """What its twin is called, or "none"; empty where it cannot be told."""
        return RunFacts.of(self.about).twin

    @property
    def settings(self) -> Mapping[str, Any]:
        """Run-config key -> value, as used."""
        return modern(self.about["settings"])

    @property
    def target(self) -> float:
        """Balanced accuracy that counts as reached."""
        return float(self.settings["target"])

    @property
    def promised(self) -> dict[str, Promise]:
        """What became of the run's own false-alarm rate, by strategy."""
        entries = [
            {**asdict(c), "observed": None if math.isnan(c.observed) else c.observed}
            for c in self.calibration
        ]
        return promises(entries, float(self.settings["detector.false-alarm-rate"]))

    @property
    def measures(self) -> Measures:
        """How the figures of the run's data set are told."""
        step_s = max((step_seconds(table) for table in self.alarms.values()), default=0.0)
        return measures_of(RunFacts.of(self.about).scored, step_s)

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies that left something, in order of appearance."""
        return [str(summary["strategy"]) for summary in self.summaries]


def read_run(path: Path) -> RunContents:
    """Read the folder of a run; raises DataError when it holds none, or a file is damaged."""
    if not (path / "config.json").is_file():
        raise DataError(
            f"{path}: not the folder of a run (it holds no config.json); give a folder that "
            "`dtfl run` wrote, e.g. results/NAME"
        )
    about = _read(path / "config.json", _about) or {}
    lines = _read(path / METRICS, read_lines) or []
    stored = _read(path / "summary.json", _summaries)
    computed = summarise(lines, float(about["settings"]["target"]))
    return RunContents(
        name=path.absolute().name,
        about=about,
        finished=stored is not None,
        lines=lines,
        summaries=[s.to_mapping() for s in computed] if stored is None else stored,
        quality=_read(path / "quality.json", _json) or {},
        alarms=_alarms(path / "alarms", list(dict.fromkeys(line.strategy for line in lines))),
        calibration=_read(path / "calibration.json", _calibration) or [],
        events=_read(path / EVENTS, read_events) or [],
        privacy=_read(path / PRIVACY, read_spending),
        twin_distance=_read(path / "twin_distance.csv", _distance),
        files=stored_files(path),
    )


def stored_files(path: Path) -> list[StoredFile]:
    """List the files of a folder by name; pages and hidden files, which no result is in, are not.

    A page that lies in the folder must not change the next one made from it.
    """
    found = []
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        if file.suffix != ".html" and not any(part.startswith(".") for part in name.split("/")):
            content = file.read_bytes()
            found.append(StoredFile(name, len(content), hashlib.sha256(content).hexdigest()))
    return found


def _read(path: Path, parse: Callable[[Path], T]) -> T | None:
    """Parse a file, None if there is none; raises DataError that names it when it is damaged."""
    if not path.is_file():
        return None
    try:
        return parse(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        raise DataError(
            f"{path}: cannot be read as a file of a run ({type(error).__name__}: {error}); "
            "restore the file, or remove it to report on the rest"
        ) from error


def _json(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(path.read_text())


def _about(path: Path) -> dict[str, Any]:
    about: dict[str, Any] = _json(path)
    float(about["settings"]["target"])
    return about


def _summaries(path: Path) -> list[dict[str, Any]]:
    summaries: list[dict[str, Any]] = _json(path)
    for summary in summaries:
        summary["strategy"], summary["final"], summary["rounds_to_target"]
    return summaries


def _alarms(folder: Path, strategies: list[str]) -> dict[str, pd.DataFrame]:
    found = {}
    for strategy in strategies:
        table = _read(folder / f"{file_name(strategy)}.csv", _alarm_table)
        if table is not None:
            found[strategy] = table
    return found


def _alarm_table(path: Path) -> pd.DataFrame:
    table = without_marks(pd.read_csv(path, dtype={"instance": str, "event": str, "channel": str}))
    _require(table, _ALARM_COLUMNS)
    table["time"] = pd.to_datetime(table["time"])
    table["event"] = table["event"].fillna("")
    table["alarm"] = table["alarm"].astype(bool)
    return table


def _calibration(path: Path) -> list[SiteCalibration]:
    return [
        SiteCalibration(
            strategy=str(entry["strategy"]),
            site=str(entry["site"]),
            wanted=float(entry["wanted"]),
            observed=float("nan") if entry["observed"] is None else float(entry["observed"]),
            normal_steps=int(entry["normal_steps"]),
            drift=str(entry.get("drift") or ""),
        )
        for entry in _json(path)
    ]


def _distance(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    _require(table, _DISTANCE_COLUMNS)
    return table


def _require(table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"columns {missing} are missing, expected {list(columns)}")
