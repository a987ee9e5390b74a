"""What became of each event of the evaluation, and the series a timeline draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.detector.metrics import EventResult, event_results

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
    channels: tuple[tuple[str, int], ...]
    smallest_p: float | None


@dataclass(frozen=True, slots=True)
class EventSpan:
    """An event, or the part of one within a stretch, in hours since its instance began."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Scores over a stretch of one instance, thinned to m points.

    Parameters
    ----------
    hours : time since the instance began, shape (m,).
    score : the largest score of each point's steps, shape (m,): no alarm is thinned away.
    threshold : alarm threshold.
    alarms : (begin, end) in hours of uninterrupted alarms.
    events : the true events.
    """

    hours: NDArray[np.float64]
    score: NDArray[np.float64]
    threshold: float
    alarms: tuple[tuple[float, float], ...]
    events: tuple[EventSpan, ...]


def event_outcomes(alarms: pd.DataFrame) -> list[EventOutcome]:
    """Return what became of each event; unlabelled steps are left out, as they are in metrics."""
    known = alarms[alarms["label"] >= 0]
    names = known["event"].to_numpy(dtype=str)
    results = event_results(known["alarm"].to_numpy(dtype=bool), names)
    step = _step_hours(alarms)
    return [_outcome(result, known[names == result.event], step) for result in results]


def timelines(alarms: pd.DataFrame, steps: int, points: int) -> Iterator[tuple[str, int, Timeline]]:
    """Yield (instance, part, timeline) for stretches of up to `steps` steps, in order.

    Each is thinned to at most `points` points.
    """
    step = _step_hours(alarms)
    for name, rows in alarms.groupby("instance", sort=False):
        for part, begin in enumerate(range(0, len(rows), steps)):
            yield str(name), part, _timeline(rows, slice(begin, begin + steps), points, step)


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
        channels=tuple((str(name), int(count)) for name, count in counts.head(_CHANNELS).items()),
        smallest_p=float(rows["p_value"].min()) if "p_value" in rows else None,
    )


def _timeline(rows: pd.DataFrame, part: slice, points: int, step: float) -> Timeline:
    time = rows["time"].to_numpy()
    hours = ((time - time[0]) / np.timedelta64(1, "s") / 3600.0)[part]
    chosen = rows.iloc[part]
    score = chosen["score"].to_numpy(dtype=np.float64)
    begins = np.unique(np.linspace(0, len(score), min(points, len(score)), False).astype(int))
    names = chosen["event"].to_numpy(dtype=str)
    events = {name: _in_hours(names == name, hours, step) for name in dict.fromkeys(names) if name}
    return Timeline(
        hours=hours[begins],
        score=np.maximum.reduceat(score, begins),
        threshold=float(chosen["threshold"].iloc[-1]),
        alarms=_in_hours(chosen["alarm"].to_numpy(dtype=bool), hours, step),
        events=tuple(EventSpan(str(n), a, b) for n, found in events.items() for a, b in found),
    )


def _in_hours(
    mask: NDArray[np.bool_], hours: NDArray[np.float64], step: float
) -> tuple[tuple[float, float], ...]:
    return tuple((float(hours[a]), float(hours[b - 1]) + step) for a, b in spans(mask))


def _step_hours(alarms: pd.DataFrame) -> float:
    """Time step in hours: the median between neighbours of one instance; 0 for single rows."""
    gaps = alarms.groupby("instance", sort=False)["time"].diff().dropna()
    return float(gaps.dt.total_seconds().median()) / 3600.0 if len(gaps) else 0.0
