"""The folder of one run.

config.json       every setting used, the run's identity, which seed governs what, when it started,
                  and versions and hardware it ran on
schema.toml       dataset files: the site schema, with its table of events beside it if it has one
quality.json      per site and channel: readings missing, frozen, set to missing
metrics.jsonl     one line per strategy and round
timings.jsonl     the wall times of the same lines
events.jsonl      what else happened: replies refused or late, sites away, resumes; one line each
checkpoints/      the run between two rounds, as often as `checkpoint-every` says; the last two
models/           <strategy>.safetensors: the last model with its scaling and threshold
deploy/           <strategy>/: the last model as a gateway detects with it (``detection.folder``)
alarms/           <strategy>.csv: score and alarm per time step of the evaluation set
calibration.json  wanted and observed false-alarm rates, by strategy and site
groups.json       protocol unseen-families: the last model's figures by strategy and group of events
privacy.json      with `dp`: the noise, what each site has spent, and what that does not cover
summary.json      rounds, bytes, steps and seconds to the target; the last model's figures
curves.png        balanced accuracy over rounds and over bytes

Two runs that did the same have the same bytes in metrics.jsonl, models/, alarms/, calibration.json,
groups.json, quality.json and deploy/ but for card.md and manifest.json there; times, identities and
places stand in the other files.
"""

from __future__ import annotations

import json
import math
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dtfl_app.core.environment import describe_hardware, installed_versions
from dtfl_app.core.errors import ConfigError, ResultsError
from dtfl_app.core.naming import file_name
from dtfl_app.core.settings import Value
from dtfl_app.detector.metrics import Metrics
from dtfl_app.results.alarm_table import alarm_csv
from dtfl_app.results.checkpoint import CheckpointFolder, more_rounds
from dtfl_app.results.curves import save_curves
from dtfl_app.results.lines import (
    METRICS,
    TIMINGS,
    RoundLine,
    Summary,
    plain_figures,
    read_lines,
    summarise,
)
from dtfl_app.results.promises import CALIBRATION, Promise, promises
from dtfl_app.results.resuming import read_about, require_same_settings
from dtfl_app.results.run_events import EVENTS, RunEvent
from dtfl_app.results.run_facts import RunFacts
from dtfl_app.results.saved_models import SavedModel, save_model
from dtfl_app.results.spending import PRIVACY
from twin.files import write_atomically

__all__ = ["RunDirectory", "require_no_run"]

_PACKAGES = ("dtfl", "flwr", "ray", "torch", "numpy", "pandas", "scikit-learn", "wntr")
# What is random in a run, and the setting that is its seed.
_SEEDS = {
    "first weights": "seed",
    "batches at the sites": "seed",
    "sites drawn for a round": "seed",
    "batches of twin data": "seed",
    "partition of the data": "data.seed",
    "simulated plants": "data.seed",
    "scenarios of the twin": "data.seed",
}


class RunDirectory:
    """Writes a run's results as they come, so an aborted run leaves all it had.

    Parameters
    ----------
    path : an empty or missing folder; ConfigError when it already holds a run, or cannot be
        written to.
    settings : run-config key -> value, as used.
    target : balanced accuracy that counts as reached.
    facts : what readers without its data set should know.

    `path`, `target` and `run`, the run's identity in hexadecimal digits, are attributes.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, object],
        target: float,
        facts: RunFacts | None = None,
    ) -> None:
        require_no_run(path)
        versions = installed_versions(_PACKAGES)
        # Of the operating system: two runs with one seed are two runs all the same.
        about = {
            "run": secrets.token_hex(8),
            "settings": dict(settings),
            "seeds": {what: settings[key] for what, key in _SEEDS.items() if key in settings},
            "versions": {name: versions[name] for name in _PACKAGES},
            "python": versions["python"],
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "system": platform.platform(),
            "hardware": describe_hardware(),
            **(facts.to_mapping() if facts else {}),
        }
        self._open(path, target, str(about["run"]))
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._write_json("config.json", about)
        except (OSError, ResultsError) as error:
            raise ConfigError(
                f"{path}: results cannot be written there ({error}); make room or give it another "
                "place with results-dir"
            ) from error

    @classmethod
    def restore(
        cls,
        path: Path,
        settings: Mapping[str, Value],
        target: float,
        history: Sequence[str],
        timings: Sequence[str],
    ) -> RunDirectory:
        """Take up the run in `path` where a checkpoint left it, and note that.

        Lines and checkpoints after it are removed; what finished strategies left is read back.

        Parameters
        ----------
        path : the run's folder.
        settings : run-config key -> value, as used now; CheckpointError if they are not those in
            config.json, but for keys that shape no result and a larger number of rounds.
        target : balanced accuracy that counts as reached.
        history, timings : the checkpoint's lines of metrics.jsonl and timings.jsonl.
        """
        about = read_about(path)
        require_same_settings(path, about["settings"], settings)
        results = cls.__new__(cls)
        results._open(path, target, about["run"])
        try:
            results._cut(history, timings)
            results.note(results._resumed(about, settings))
            if more_rounds(about["settings"], settings):
                longer = {**about["settings"], "rounds": settings["rounds"]}
                results._write_json("config.json", {**about, "settings": longer})
        except (OSError, ResultsError) as error:
            raise ConfigError(
                f"{path}: the run cannot go on there ({error}); make room, or let its folder be "
                "written to"
            ) from error
        return results

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / "checkpoints")

    @property
    def history(self) -> list[str]:
        """All lines of metrics.jsonl so far, for a checkpoint."""
        return _lines(self.path / METRICS)

    @property
    def timings(self) -> list[str]:
        """All lines of timings.jsonl so far, for a checkpoint."""
        return _lines(self.path / TIMINGS)

    def record(self, line: RoundLine) -> None:
        """Append one line to metrics.jsonl, and its wall time to timings.jsonl."""
        # The time first: a run cut off in between leaves no line without one.
        self._append(TIMINGS, line.timing_json())
        self._append(METRICS, line.to_json())

    def note(self, event: RunEvent) -> None:
        """Append one line to events.jsonl."""
        self._append(EVENTS, event.to_json())

    def save_model(self, strategy: str, model: SavedModel) -> Path:
        """Store the last model of a strategy; return its file.

        Raises ResultsError when it cannot be written; an earlier one is then as it was.
        """
        path = self.path / "models" / f"{file_name(strategy)}.safetensors"
        with self._storing(path):
            save_model(path, model)
        return path

    def deploy_folder(self, strategy: str) -> Path:
        """Where a strategy's last model is, ready for a gateway."""
        return self.path / "deploy" / file_name(strategy)

    def save_quality(self, quality: Mapping[str, object]) -> None:
        """Store how sound each site's readings are."""
        self._write_json("quality.json", dict(sorted(quality.items())))

    def save_schema(self, documents: Mapping[str, bytes]) -> None:
        """Store how the sites' files are read, as documents by name."""
        for name, content in documents.items():
            with self._storing(self.path / name):
                write_atomically(self.path / name, content)

    def save_privacy(self, privacy: Mapping[str, object]) -> None:
        """Store what differential privacy has cost each site, and what it does not cover."""
        self._write_json(PRIVACY, privacy)

    def privacy_releases(self) -> dict[str, dict[str, int]]:
        """Noisy updates by strategy and site that `save_privacy` told of; {} before any."""
        found: dict[str, dict[str, int]] = self._read_json(PRIVACY, {}).get("releases", {})
        return found

    def save_alarms(self, strategy: str, alarms: pd.DataFrame) -> None:
        """Store scores and alarms on the evaluation set."""
        path = self.path / "alarms" / f"{file_name(strategy)}.csv"
        with self._storing(path):
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, alarm_csv(alarms))

    def save_calibration(self, strategy: str, rates: Sequence[Mapping[str, object]]) -> None:
        """Store wanted and observed false-alarm rates of a strategy's last model, per site."""
        self._calibration[strategy] = [{"strategy": strategy, **rate} for rate in rates]
        self._write_json(CALIBRATION, self._entries())

    def promises(self, wanted: float) -> dict[str, Promise]:
        """What became of the false-alarm rate `wanted`, by strategy."""
        return promises(self._entries(), wanted)

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
        lines = read_lines(self.path / METRICS)
        summaries = [
            replace(s, groups=self._groups.get(s.strategy, {}))
            for s in summarise(lines, self.target)
        ]
        self._write_json("summary.json", [s.to_mapping() for s in summaries])
        with self._storing(self.path / "curves.png"):
            save_curves(lines, self.target, title, self.path / "curves.png")
        return summaries

    # --- inside ------------------------------------------------------------------------------

    def _open(self, path: Path, target: float, run: str) -> None:
        self.path, self.target, self.run = path, target, run
        self._groups: dict[str, Mapping[str, Metrics]] = {}
        self._calibration: dict[str, list[dict[str, object]]] = {}

    def _entries(self) -> list[dict[str, object]]:
        return [entry for entries in self._calibration.values() for entry in entries]

    def _cut(self, history: Sequence[str], timings: Sequence[str]) -> None:
        """Bring the folder back to where it was after `history`."""
        (self.path / "summary.json").unlink(missing_ok=True)
        self.checkpoints.cut(history)
        for name, lines in ((METRICS, history), (TIMINGS, timings)):
            write_atomically(self.path / name, "".join(f"{line}\n" for line in lines).encode())
        _drop_half_line(self.path / EVENTS)
        begun = {RoundLine.from_json(line).strategy for line in history}
        for entry in self._read_json(CALIBRATION, []):
            if entry["strategy"] in begun:
                self._calibration.setdefault(entry["strategy"], []).append(entry)
        for strategy, groups in self._read_json("groups.json", {}).items():
            if strategy in begun:
                self._groups[strategy] = {name: _metrics(m) for name, m in groups.items()}

    def _resumed(self, about: Mapping[str, Any], settings: Mapping[str, Value]) -> RunEvent:
        """The event of taking the run up, with rounds and versions that changed since it began."""
        now = installed_versions(_PACKAGES)
        then = {"python": about.get("python"), **about.get("versions", {})}
        changed = [f"{name} {then[name]} -> {now[name]}" for name in now if then[name] != now[name]]
        reason = f"results may differ: {', '.join(changed)}" if changed else ""
        if more_rounds(about["settings"], settings):
            longer = f"rounds {about['settings']['rounds']} -> {settings['rounds']}"
            reason = "; ".join(filter(None, (longer, reason)))
        stored = self.checkpoints.stored()
        if not stored:
            return RunEvent("resumed", reason=reason)
        return RunEvent("resumed", stored[-1].strategy, stored[-1].round, reason=reason)

    def _read_json(self, name: str, nothing: Any) -> Any:  # noqa: ANN401 - JSON
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else nothing

    def _write_json(self, name: str, content: object) -> None:
        text = json.dumps(content, indent=1, allow_nan=False)
        with self._storing(self.path / name):
            write_atomically(self.path / name, text.encode())

    def _append(self, name: str, line: str) -> None:
        path = self.path / name
        with self._storing(path), path.open("a") as file:
            file.write(line + "\n")

    @contextmanager
    def _storing(self, path: Path) -> Iterator[None]:
        """Say what cannot be written, and how the run goes on once it can."""
        try:
            yield
        except OSError as error:
            if path.parent != self.path:
                with suppress(OSError):  # a folder that holds something stays
                    path.parent.rmdir()
            raise ResultsError(
                f"{path} cannot be written ({error}); what was there is as it was. Make room, or "
                f"give the folder back its rights, and go on with resume={self.path}"
            ) from error


def require_no_run(path: Path) -> None:
    """Raise ConfigError when a folder already holds a run."""
    if (path / "config.json").exists():
        raise ConfigError(
            f"{path} already holds a run; choose another run-name, go on with it "
            f"(resume={path}), or remove the folder"
        )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _drop_half_line(path: Path) -> None:
    """Remove what a full disk left of a last line."""
    text = path.read_text() if path.exists() else ""
    if text and not text.endswith("\n"):
        write_atomically(path, text[: text.rfind("\n") + 1].encode())


def _metrics(plain: Mapping[str, Any]) -> Metrics:
    figures: dict[str, Any] = {k: math.nan if v is None else v for k, v in plain.items()}
    return Metrics(**figures)
