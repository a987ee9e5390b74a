"""What became of each event of the evaluation, and the series a timeline draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.detector.metrics import EventResult, event_results
from dtfl_app.results.episodes import episode_starts
from dtfl_app.results.measures import HOURS, TimeUnit, step_seconds

__all__ = ["EventOutcome", "EventSpan", "Timeline", "event_outcomes", "spans", "timelines"]

_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """One event under one strategy.

    Parameters
    ----------
    event, instance : which.
    begin : time of its first step.
    hours : its length.
    first_alarm : time of the first alarm within it; None if it was missed.
    delay_hours : from its begin to that alarm; None if it was missed.
    alarm_share : share of its steps with an alarm, in [0, 1].
    episodes : runs of steps with an alarm within it.
    channels : the channels that stood out most often, with the number of steps; in steps with an
        alarm, or in all steps of a missed event.
    smallest_p : its smallest conformal p-value; None when the run stored none.
    """

    event: str
    instance: str
    begin: pd.Timestamp
    hours: float
    first_alarm: pd.Timestamp | None
    delay_hours: float | None
    alarm_share: float
    episodes: int
    channels: tuple[tuple[str, int], ...]
    smallest_p: float | None


@dataclass(frozen=True, slots=True)
class EventSpan:
    """An event, or the part of one within a stretch, in a unit of time since its instance began."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Scores over a stretch of one instance, thinned to m points.

    Parameters
    ----------
    time : since the instance began, in some unit, shape (m,).
    score : the largest score of each point's steps, shape (m,): no alarm is thinned away.
    threshold : alarm threshold.
    alarms : (begin, end) of uninterrupted alarms, likewise.
    events : the true events.
    """

    time: NDArray[np.float64]
    score: NDArray[np.float64]
    threshold: float
    alarms: tuple[tuple[float, float], ...]
    events: tuple[EventSpan, ...]


def event_outcomes(alarms: pd.DataFrame) -> list[EventOutcome]:
    """Return what became of each event; unlabelled steps are left out, as they are in metrics."""
    known = alarms[alarms["label"] >= 0]
    names = known["event"].to_numpy(dtype=str)
    results = event_results(known["alarm"].to_numpy(dtype=bool), names)
    step = step_seconds(alarms) / 3600.0
    return [_outcome(result, known[names == result.event], step) for result in results]


def timelines(
    alarms: pd.DataFrame, steps: int, points: int, unit: TimeUnit = HOURS
) -> Iterator[tuple[str, int, Timeline]]:
    """Yield (instance, part, timeline) for stretches of up to `steps` steps, in order.

    Each is thinned to at most `points` points; times are in `unit`.
    """
    step = step_seconds(alarms)
    for name, rows in alarms.groupby("instance", sort=False):
        for part, begin in enumerate(range(0, len(rows), steps)):
            yield str(name), part, _timeline(rows, slice(begin, begin + steps), points, step, unit)


def spans(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (begin, end) of each run of True in a mask of shape (n,); `end` is exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _outcome(result: EventResult, rows: pd.DataFrame, step: float) -> EventOutcome:
    found = result.delay is not None
    blamed = rows.loc[rows["alarm"], "channel"] if found else rows["channel"]
    # Sorted by name first, so that equal counts come in one order only.
    counts = blamed.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return EventOutcome(
        event=result.event,
        instance=str(rows["instance"].iloc[0]),
        begin=rows["time"].iloc[0],
        hours=result.steps * step,
        first_alarm=rows["time"].iloc[result.delay] if result.delay is not None else None,
        delay_hours=result.delay * step if result.delay is not None else None,
        alarm_share=float(rows["alarm"].mean()),
        episodes=int(episode_starts(rows).sum()),
        channels=tuple((str(name), int(count)) for name, count in counts.head(_CHANNELS).items()),
        smallest_p=float(rows["p_value"].min()) if "p_value" in rows else None,
    )


def _timeline(
    rows: pd.DataFrame, part: slice, points: int, step_s: float, unit: TimeUnit
) -> Timeline:
    time = rows["time"].to_numpy()
    passed = ((time - time[0]) / np.timedelta64(1, "s") / unit.seconds)[part]
    step = step_s / unit.seconds
    chosen = rows.iloc[part]
    score = chosen["score"].to_numpy(dtype=np.float64)
    begins = np.unique(np.linspace(0, len(score), min(points, len(score)), False).astype(int))
    names = chosen["event"].to_numpy(dtype=str)
    events = {
        name: _stretches(names == name, passed, step) for name in dict.fromkeys(names) if name
    }
    return Timeline(
        time=passed[begins],
        score=np.maximum.reduceat(score, begins),
        threshold=float(chosen["threshold"].iloc[-1]),
        alarms=_stretches(chosen["alarm"].to_numpy(dtype=bool), passed, step),
        events=tuple(EventSpan(str(n), a, b) for n, found in events.items() for a, b in found),
    )


def _stretches(
    mask: NDArray[np.bool_], time: NDArray[np.float64], step: float
) -> tuple[tuple[float, float], ...]:
    return tuple((float(time[a]), float(time[b - 1]) + step) for a, b in spans(mask))
