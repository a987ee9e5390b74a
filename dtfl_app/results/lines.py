"""One line of metrics.jsonl, and what a whole run comes to.

Wall times stand in timings.jsonl beside it: two runs that did the same have the same metrics.jsonl,
byte for byte. Files of runs from before that have them in metrics.jsonl and are read all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dtfl_app.core.errors import DataError
from dtfl_app.detector.metrics import Metrics

__all__ = [
    "METRICS",
    "TIMINGS",
    "RoundLine",
    "Summary",
    "plain_figures",
    "read_entries",
    "read_lines",
    "summarise",
]

#: Names of the two files in the folder of a run.
METRICS, TIMINGS = "metrics.jsonl", "timings.jsonl"


@dataclass(frozen=True, slots=True)
class RoundLine:
    """The model after `round` rounds and what that round cost; round 0 is the start.

    Parameters
    ----------
    strategy : name of the method.
    sites, refused : replies admitted and refused.
    loss : mean training loss at the sites.
    twin_loss : loss on twin data of the mean of the sites' models, before the twin's step; NaN
        without a twin.
    site_score : median over sites of the median calibration score of this model; NaN without
        calibration rows.
    bytes_up, bytes_down : payload of the arrays that travelled.
    site_steps, server_steps : optimiser steps, all sites together and at the server.
    seconds : wall time of the round; NaN where timings.jsonl does not have it.
    metrics : figures on the evaluation set; None without one.
    """

    strategy: str
    round: int
    sites: int = 0
    refused: int = 0
    loss: float = math.nan
    twin_loss: float = math.nan
    site_score: float = math.nan
    bytes_up: int = 0
    bytes_down: int = 0
    site_steps: int = 0
    server_steps: int = 0
    seconds: float = 0.0
    metrics: Metrics | None = None

    def to_json(self) -> str:
        """Its line of metrics.jsonl, all but the wall time; undefined figures become null."""
        flat = asdict(self)
        flat.update(flat.pop("metrics") or {})
        del flat["seconds"]
        return json.dumps({k: _or_null(v) for k, v in flat.items()})

    def timing_json(self) -> str:
        """Its line of timings.jsonl."""
        timing = {"strategy": self.strategy, "round": self.round, "seconds": self.seconds}
        return json.dumps({k: _or_null(v) for k, v in timing.items()})

    @staticmethod
    def from_json(text: str) -> RoundLine:
        """Read what `to_json` wrote, without a wall time unless it stands there too.

        Raises DataError when it is not that.
        """
        return _line(_entry(text, METRICS))


@dataclass(frozen=True, slots=True)
class Summary:
    """What one strategy reached and what it took.

    Costs are cumulative up to the first model at or above the target; None if there is none.

    Parameters
    ----------
    rounds_to_target, megabytes_to_target, site_steps_to_target, server_steps_to_target,
    seconds_to_target : the cost of the target.
    megabytes_up, megabytes_down, seconds : the cost of the whole run.
    final : the last model's figures.
    groups : the same by group of events, where the protocol has groups.
    """

    strategy: str
    rounds: int
    rounds_to_target: int | None
    megabytes_to_target: float | None
    site_steps_to_target: int | None
    server_steps_to_target: int | None
    seconds_to_target: float | None
    megabytes_up: float
    megabytes_down: float
    seconds: float
    refused: int
    final: Metrics | None
    groups: Mapping[str, Metrics] = field(default_factory=dict)

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values; undefined figures become None."""
        plain = {name: _or_null(value) for name, value in asdict(self).items()}
        plain["final"] = plain_figures(self.final) if self.final else {}
        plain["groups"] = {name: plain_figures(metrics) for name, metrics in self.groups.items()}
        return plain


def plain_figures(metrics: Metrics) -> dict[str, Any]:
    """Return all figures as plain JSON values; undefined ones become None."""
    return {name: _or_null(value) for name, value in metrics.as_dict().items()}


def read_lines(path: Path) -> list[RoundLine]:
    """Read a metrics.jsonl file, with the wall times that stand beside it."""
    return [_line(entry) for entry in read_entries(path)]


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Read a metrics.jsonl file as plain JSON objects, each with its "seconds", null if unknown."""
    beside = path.with_name(TIMINGS)
    timings = _entries(beside) if beside.exists() else []
    seconds = {(t["strategy"], t["round"]): t["seconds"] for t in timings}
    return [
        {**entry, "seconds": entry.get("seconds", seconds.get((entry["strategy"], entry["round"])))}
        for entry in _entries(path)
    ]


def summarise(lines: Iterable[RoundLine], target: float) -> list[Summary]:
    """One summary per strategy, in order of first appearance; `target` is balanced accuracy."""
    by_strategy: dict[str, list[RoundLine]] = {}
    for line in lines:
        by_strategy.setdefault(line.strategy, []).append(line)
    return [_summarise_one(name, group, target) for name, group in by_strategy.items()]


def _summarise_one(name: str, lines: Sequence[RoundLine], target: float) -> Summary:
    hit = next(
        (i for i, x in enumerate(lines) if x.metrics and x.metrics.balanced_accuracy >= target),
        None,
    )
    until = None if hit is None else lines[: hit + 1]
    return Summary(
        strategy=name,
        rounds=lines[-1].round,
        rounds_to_target=None if hit is None else lines[hit].round,
        megabytes_to_target=None
        if until is None
        else sum(x.bytes_up + x.bytes_down for x in until) / 1e6,
        site_steps_to_target=None if until is None else sum(x.site_steps for x in until),
        server_steps_to_target=None if until is None else sum(x.server_steps for x in until),
        seconds_to_target=None if until is None else sum(x.seconds for x in until),
        megabytes_up=sum(x.bytes_up for x in lines) / 1e6,
        megabytes_down=sum(x.bytes_down for x in lines) / 1e6,
        seconds=sum(x.seconds for x in lines),
        refused=sum(x.refused for x in lines),
        final=lines[-1].metrics,
    )


def _or_null(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(entry: Mapping[str, Any]) -> RoundLine:
    try:
        flat: dict[str, Any] = {k: math.nan if v is None else v for k, v in entry.items()}
        judged = [f.name for f in fields(Metrics) if f.name in flat]
        metrics = Metrics(**{name: flat.pop(name) for name in judged}) if judged else None
        return RoundLine(**flat, metrics=metrics)
    except TypeError as error:
        raise _no_line(METRICS, json.dumps(entry), error) from error


def _entries(path: Path) -> list[dict[str, Any]]:
    return [_entry(line, path.name) for line in path.read_text().splitlines() if line]


def _entry(text: str, name: str) -> dict[str, Any]:
    """One line of either file as a JSON object that says which method and round it is of."""
    try:
        entry = dict(json.loads(text))
        for key in ("strategy", "round", "seconds")[: 3 if name == TIMINGS else 2]:
            entry[key]
    except (ValueError, TypeError, KeyError) as error:
        raise _no_line(name, text, error) from error
    return entry


def _no_line(name: str, text: str, error: Exception) -> DataError:
    return DataError(f"not a line of {name} ({error}): {text[:80]!r}")
