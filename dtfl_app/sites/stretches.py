"""Uninterrupted stretches of a recording: where they end, their names, when one is frozen.

A short interruption may be filled (`fill_gaps`), by one rule for whole files and for rows as they
come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twin.schema import ChannelKind, Schema, out_of_range

__all__ = [
    "FROZEN_SAMPLES",
    "Fill",
    "FilledRows",
    "GapFilling",
    "at_rest",
    "changes",
    "fill_gaps",
    "interruptions",
    "lengths_between",
    "longest_step_ns",
    "recording_of",
    "run_lengths",
    "run_numbers",
    "stretch_names",
]

#: Readings that repeat for this many samples count as frozen: 10 minutes at 1 Hz, 25 days by the
#: hour. Shorter repeats are the resolution of the sensor.
FROZEN_SAMPLES = 600
# A step above this many periods is an interruption; jitter of half a period is not.
_GAP_PERIODS = 1.5
_PART = "/part-"

Fill = Literal["hold", "interpolate"]


@dataclass(frozen=True, slots=True)
class GapFilling:
    """Which interruptions of a recording are filled, and with what.

    Parameters
    ----------
    max_gap_s : longest step in seconds from one row to the next that is filled; 0 = none is.
    fill : "hold" repeats the readings before the gap; "interpolate" goes linearly from them to
        those after it, and holds a status, which has nothing between its values.
    """

    max_gap_s: float = 0.0
    fill: Fill = "hold"


@dataclass(frozen=True, slots=True, eq=False)
class FilledRows:
    """The m rows that fill the gaps of a recording.

    Parameters
    ----------
    before : position of the recorded row before each, shape (m,).
    time : ns since 1970, shape (m,).
    values : readings, shape (m, c); NaN = missing.
    """

    before: NDArray[np.intp]
    time: NDArray[np.int64]
    values: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_]) -> FilledRows:
        """Return the rows that a mask of shape (m,) selects."""
        return FilledRows(self.before[chosen], self.time[chosen], self.values[chosen])


def at_rest(kind: ChannelKind | NDArray[np.str_], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which readings may stay as they are for ever: a pump that stands by gives them.

    `kind` is that of the channel, or has the shape of the readings of several.
    """
    return np.asarray((kind == "status") | ((kind == "flow") & (values == 0.0)), dtype=bool)


def longest_step_ns(period_s: float) -> int:
    """Return the longest step in ns between two readings of one stretch."""
    return round(_GAP_PERIODS * period_s * 1e9)


def interruptions(time: NDArray[np.datetime64], period_s: float) -> NDArray[np.bool_]:
    """Tell for each of the n - 1 steps in `time` whether the recording was interrupted there."""
    limit = np.timedelta64(longest_step_ns(period_s), "ns")
    return np.diff(time.astype("datetime64[ns]", copy=False)) > limit


def fill_gaps(
    time: NDArray[np.int64],
    values: NDArray[np.float64],
    schema: Schema,
    filling: GapFilling,
) -> FilledRows:
    """Return the rows that are missing between the n rows of one recording.

    They stand on the period's grid from the row before the gap, and the last of them is half a
    period to 1.5 periods before the row after it. A reading that is missing or out of range on a
    side that counts is missing in the gap.

    Parameters
    ----------
    time : ns since 1970, shape (n,).
    values : readings as delivered, shape (n, c); NaN = missing.
    schema : period, and kind and range of the c channels.
    filling : which gaps are filled, and how.
    """
    limit, period = longest_step_ns(schema.period_s), round(schema.period_s * 1e9)
    step = np.diff(time)
    filled = (step > limit) & (step <= round(filling.max_gap_s * 1e9))
    rows = np.where(filled, -(-(step - limit) // period), 0)  # rounded up
    before = np.repeat(np.arange(step.size), rows)
    late = (np.arange(before.size) - np.repeat(np.cumsum(rows) - rows, rows) + 1) * period
    held, after = _possible(values[before], schema), _possible(values[before + 1], schema)
    if filling.fill == "interpolate":
        share = (late / step[before])[:, None]
        between = np.clip(
            held + (after - held) * share, np.minimum(held, after), np.maximum(held, after)
        )
        kinds = np.array([channel.kind for channel in schema.channels])
        held = np.where(kinds == "status", held, between)
    return FilledRows(before, time[before] + late, held)


def _possible(values: NDArray[np.float64], schema: Schema) -> NDArray[np.float64]:
    low = np.array([channel.low for channel in schema.channels])
    high = np.array([channel.high for channel in schema.channels])
    return np.where(out_of_range(values, low, high), np.nan, values)


def run_numbers(*keys: NDArray[Any]) -> NDArray[np.intp]:
    """Number, from 0 in row order, the runs of neighbouring rows in which all `keys` are equal."""
    number = np.zeros(len(keys[0]), dtype=np.intp)
    np.cumsum(changes(*keys), out=number[1:])
    return number


def run_lengths(*keys: NDArray[Any]) -> NDArray[np.intp]:
    """Lengths, in row order, of the runs of neighbouring rows in which all `keys` are equal."""
    return lengths_between(changes(*keys), len(keys[0]))


def lengths_between(breaks: NDArray[np.bool_], rows: int) -> NDArray[np.intp]:
    """Lengths of the pieces of n `rows`, of whose n - 1 steps some are `breaks`."""
    ends = np.flatnonzero(breaks)
    ends += 1
    lengths = np.full(ends.size + (rows > 0), rows, dtype=np.intp)
    if ends.size:
        # In place: there may be as many pieces as rows.
        np.subtract(ends[1:], ends[:-1], out=lengths[1:-1])
        lengths[0], lengths[-1] = ends[0], rows - ends[-1]
    return lengths


def changes(*keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell for each of the n - 1 steps from row to row whether one of the `keys` changes there."""
    found = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        found |= key[1:] != key[:-1]
    return found


def stretch_names(time: NDArray[np.datetime64], period_s: float, name: str) -> list[str]:
    """Name the uninterrupted stretches of a recording, one name per row.

    A step of more than 1.5 periods starts a new stretch. One stretch is called `name`, several
    are called ``name/part-1``, ``name/part-2``, and so on.
    """
    part = np.concatenate([[0], np.cumsum(interruptions(time, period_s))])
    if part[-1] == 0:
        return [name] * len(time)
    # Rows of a stretch share one text.
    names = [f"{name}{_PART}{i + 1}" for i in range(int(part[-1]) + 1)]
    return [names[i] for i in part]


def recording_of(instance: str) -> str:
    """Return the recording that a stretch is a part of: "run" of "run/part-2/part-1"."""
    return instance.partition(_PART)[0]
