"""Uninterrupted stretches of a recording: where they end, their names, when one is frozen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.schema import ChannelKind

__all__ = [
    "FROZEN_SAMPLES",
    "at_rest",
    "interruptions",
    "longest_step_ns",
    "recording_of",
    "run_numbers",
    "stretch_names",
]

#: Readings that repeat for this many samples count as frozen: 10 minutes at 1 Hz, 25 days by the
#: hour. Shorter repeats are the resolution of the sensor.
FROZEN_SAMPLES = 600
# A step above this many periods is an interruption; jitter of half a period is not.
_GAP_PERIODS = 1.5
_PART = "/part-"


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
    return np.diff(time.astype("datetime64[ns]")) > limit


def run_numbers(*keys: NDArray[Any]) -> NDArray[np.intp]:
    """Number, from 0 in row order, the runs of neighbouring rows in which all `keys` are equal."""
    changes = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        changes |= key[1:] != key[:-1]
    return np.concatenate([[0], np.cumsum(changes)]).astype(np.intp)[: len(keys[0])]


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
