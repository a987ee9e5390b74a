"""Which column of a file holds its times, and in which form: guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.cells import EPOCH_DAYS, EPOCHS, ISO8601, parse_time
from dtfl_app.sites.columns import parse_times
from dtfl_app.sites.own_files import PERIOD_TOLERANCE

__all__ = ["Clock", "guess_clock", "guess_period", "other_periods", "turned", "unevenness"]

# Day before month is the custom of most countries, but not of those that write am and pm.
_DATES = (
    *("%d/%m/%Y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y"),
    *("%m/%d/%Y", "%m/%d/%y", "%m.%d.%Y", "%m.%d.%y", "%m-%d-%Y"),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y"),
)
_TIMES = (" %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %H", "")
_HALF_DAYS = (" %I:%M:%S %p", " %I:%M %p")
_MONTH_FIRST = sorted(_DATES, key=lambda date: not date.startswith("%m"))
_FORMATS = (
    ISO8601,
    *(date + time for time in _TIMES for date in _DATES),
    *(date + time for time in _HALF_DAYS for date in _MONTH_FIRST),
)
_SHOWN = ("%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%y %H:%M:%S")
_DAY_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S.%f %p")
# Unevenness of times of which most are those of the row before.
_STANDS = 2.0
# Numbers that are seconds since 1970 in the years 2001 to 2065: few sensors read so.
_EPOCH_FROM, _EPOCH_TO = 1e9, 3e9
_FEW_ROWS = 50

Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """A file's, or several files', time.

    Parameters
    ----------
    column : its name.
    form : as `cells.parse_time` takes it.
    times : of each file.
    turned : the form with day and month in the other order, where all times fit that too and are as
        even by it; "" where the times decide.
    """

    column: str
    form: str
    times: tuple[Times, ...]
    turned: str = ""

    @property
    def backwards(self) -> tuple[bool, ...]:
        """Whether time goes backwards, of each file."""
        return tuple(bool(_median_step(time) < np.timedelta64(0)) for time in self.times)

    @property
    def newest_first(self) -> bool:
        """Whether time goes backwards in every file."""
        return all(self.backwards)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    unevenness: float
    place: int
    clock: Clock


def guess_clock(frames: Sequence[pd.DataFrame], path: Path) -> Clock:
    """Return the column of times and their form: of several readings the most even one.

    Parameters
    ----------
    frames : the files' columns; all have the same.
    path : the first file, for messages.

    Raises DataError where no column holds times throughout.
    """
    found = _readings(frames, _texts(frames), path) or _readings(frames, _epochs(frames), path)
    if not found:
        raise DataError(
            f"{path}: no column holds times in one format throughout{_nearest(frames)}; expected "
            f"ISO 8601 (2024-03-01T12:00:00) or one such as {list(_SHOWN)}. If the format is "
            "another, write the schema by hand (time-formats with the directives of strptime, or "
            "time-unit)"
        )
    best = min(found, key=lambda one: (one.unevenness, one.place))
    _require_one_column(best, frames, path)
    other = turned(best.clock.form)
    for one in found:
        alike = one.unevenness == best.unevenness and one.clock.column == best.clock.column
        if other and one.clock.form == other and alike:
            return Clock(best.clock.column, best.clock.form, best.clock.times, other)
    return best.clock


def _nearest(frames: Sequence[pd.DataFrame]) -> str:
    """Say in which cell of the only file a column of times stops being one; "" without one."""
    best = (0, "", "")
    for column, form in _texts(frames) if len(frames) == 1 else ():
        cells = frames[0][column]
        bad = (row for row, cell in enumerate(cells) if parse_time(str(cell), form) is None)
        row = next(bad, 0)
        best = max(best, (row, str(column), str(cells.iloc[row]) if row else ""))
    row, column, cell = best
    return f" (column {column!r} does up to data row {row + 1}, which has {cell!r})" if row else ""


def _require_one_column(best: _Reading, frames: Sequence[pd.DataFrame], path: Path) -> None:
    """Raise DataError where the date stands in one column and the time of day in another."""
    for column, form in ((c, form) for c, _ in _texts(frames) for form in _DAY_TIMES):
        cells = [str(cell) for cell in frames[0][column].head(_FEW_ROWS)]
        if best.unevenness == _STANDS and all(parse_time(cell, form) is not None for cell in cells):
            raise DataError(
                f"{path}: {best.clock.column!r} holds the date and {column!r} the time of day; "
                "expected both in one column. Export it so, or join them, e.g. with pandas: "
                f'frame["time"] = frame[{best.clock.column!r}] + " " + frame[{column!r}]'
            )


def turned(form: str) -> str:
    """Return a form with its day and month changed over; "" where it has not both as numbers."""
    if "%d" not in form or "%m" not in form:
        return ""
    return form.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")


def _readings(
    frames: Sequence[pd.DataFrame], candidates: Iterable[tuple[str, str]], path: Path
) -> list[_Reading]:
    """The candidates that hold times throughout."""
    found = []
    for place, (column, form) in enumerate(candidates):
        first = frames[0][column]
        # Most columns and formats fail on the first row already, or on one soon after.
        text = first.dtype == object or pd.api.types.is_string_dtype(first)
        if text and parse_time(str(first.iloc[0]), form) is None:
            continue
        if _times(first.head(_FEW_ROWS), path, form) is None:
            continue
        times = [_times(frame[column], path, form) for frame in frames]
        sound = tuple(time for time in times if time is not None)
        if len(sound) == len(times):
            uneven = float(np.mean([unevenness(time) for time in sound]))
            found.append(_Reading(uneven, place, Clock(column, form, sound)))
    return found


def _texts(frames: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    texts = [c for c in frames[0].columns if not pd.api.types.is_numeric_dtype(frames[0][c])]
    return [(column, form) for column in texts for form in _FORMATS]


def _epochs(frames: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    """Columns of numbers that may be times since 1970, and in which unit."""
    return [
        (column, form)
        for column in frames[0].columns
        if all(pd.api.types.is_numeric_dtype(frame[column]) for frame in frames)
        for form, ns in EPOCHS.values()
        if all(
            _EPOCH_FROM <= _since_1970(end, form, ns) <= _EPOCH_TO
            for frame in frames
            for end in (frame[column].min(), frame[column].max())
        )
    ]


def _since_1970(number: float, form: str, ns: int) -> float:
    """Seconds since 1970 that a number means."""
    return float(number) * ns / 10**9 - EPOCH_DAYS.get(form, 0) * 86_400


def _times(column: pd.Series[Any], path: Path, form: str) -> Times | None:
    try:
        return parse_times(column, path, (form,))
    except DataError:
        return None


def unevenness(time: Times) -> float:
    """Return the share of steps that are not the median one; 2 where that is 0."""
    steps, median = np.diff(time), _median_step(time)
    if not steps.size:
        return 0.0
    return float((steps != median).mean()) if median != np.timedelta64(0) else _STANDS


def _median_step(time: Times) -> np.timedelta64:
    steps = np.diff(time)
    return np.timedelta64(np.median(steps)) if steps.size else np.timedelta64(0, "ns")


def guess_period(clock: Clock, path: Path) -> float:
    """Return the median step of all files, in s; DataError where time never goes forward."""
    steps = np.concatenate([_steps_s(time, clock) for time in clock.times])
    if not steps.size:
        raise DataError(
            f"{path}: its time does not go forward from any row to the next, so it has no sampling "
            "period; sort the rows by time, oldest first"
        )
    return round(float(np.median(steps)), 6)


def other_periods(clock: Clock, period_s: float) -> list[tuple[int, float]]:
    """Return place and median step, in s, of each file that is sampled otherwise than all."""
    steps = [_steps_s(time, clock) for time in clock.times]
    medians = [(i, round(float(np.median(own)), 6)) for i, own in enumerate(steps) if own.size]
    return [(i, own) for i, own in medians if abs(own - period_s) > PERIOD_TOLERANCE * period_s]


def _steps_s(time: Times, clock: Clock) -> NDArray[np.float64]:
    """The steps from one row to a later one, in s."""
    steps = np.diff(time[::-1] if clock.newest_first else time) / np.timedelta64(1, "s")
    return np.asarray(steps[steps > 0], dtype=np.float64)
