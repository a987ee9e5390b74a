"""One channel of a site's file: its figures, and what is odd in its readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtfl_app.sites.findings import FileFinding
from dtfl_app.sites.own_files import OwnFile
from dtfl_app.sites.quality import frozen
from dtfl_app.sites.stretches import FROZEN_SAMPLES, at_rest, run_numbers
from twin.schema import Channel, out_of_range

__all__ = ["ChannelSummary", "channel_findings", "summarise"]

# Above this share, what is missing begins to matter.
_MUCH_MISSING = 0.05
_AS_MEAN = "counts a missing reading as the federation's mean of the channel: no alarm from it"


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """Figures of one channel; readings in its unit.

    Parameters
    ----------
    channel, column : what the sites and what the file call it.
    unit, low, high : as in the schema.
    missing : share of rows without a reading, in [0, 1].
    smallest, median, largest : of the readings; None without any.
    longest_run : most readings in a row that are equal.
    stuck : rows in runs of at least `FROZEN_SAMPLES` equal readings.
    outside : readings outside the range.
    first_outside : data row of the first of them, from 1; None without any.
    """

    channel: str
    column: str
    unit: str
    low: float
    high: float
    missing: float
    smallest: float | None
    median: float | None
    largest: float | None
    longest_run: int
    stuck: int
    outside: int
    first_outside: int | None


def summarise(found: OwnFile, channel: Channel, column: str) -> ChannelSummary:
    """Return the figures of one channel of a file."""
    values = _values(found, channel)
    readings = values[~np.isnan(values)]
    outside = out_of_range(values, channel.low, channel.high)
    smallest, median, largest = (
        (float(f(readings)) if readings.size else None) for f in (np.min, np.median, np.max)
    )
    return ChannelSummary(
        channel.name,
        column,
        channel.unit,
        channel.low,
        channel.high,
        float(np.isnan(values).mean()),
        smallest,
        median,
        largest,
        _longest_run(values),
        int(frozen(found.series, values).sum()),
        int(outside.sum()),
        _first_row(found, outside),
    )


def channel_findings(
    found: OwnFile, channel: Channel, kept: NDArray[np.float64]
) -> Iterator[FileFinding]:
    """Yield what is odd in the readings of one channel, and what was done about it.

    `kept` : the channel's readings as `quality.clean` left them, shape (n,).
    """
    values = _values(found, channel)
    missing, outside = np.isnan(values), out_of_range(values, channel.low, channel.high)
    if missing.any():
        yield _missing(found, channel.name, missing)
    if outside.any():
        yield _outside(found, channel, outside, kept)
    dead = np.isnan(kept) & ~missing & ~outside
    if dead.any():
        yield FileFinding(
            "look",
            channel.name,
            f"never changes in a whole recording: {dead.sum()} readings, first data row "
            f"{_first_row(found, dead)}",
            "sets them to missing: a dead sensor",
            'check the sensor; what may rest is of kind "status", or "flow" where it rests at 0',
        )
    elif not at_rest(channel.kind, values[~missing]).all():
        yield from _stuck(found, channel.name, values)


def _missing(found: OwnFile, name: str, missing: NDArray[np.bool_]) -> FileFinding:
    much = missing.mean() > _MUCH_MISSING
    return FileFinding(
        "look" if much else "note",
        name,
        f"{missing.mean():.1%} missing, first data row {_first_row(found, missing)}",
        _AS_MEAN,
        "fill gaps at the source, or leave the channel out of the schema" if much else "nothing",
    )


def _outside(
    found: OwnFile, channel: Channel, outside: NDArray[np.bool_], kept: NDArray[np.float64]
) -> FileFinding:
    first = int(np.flatnonzero(outside)[0])
    reading = found.series[channel.name].iloc[first]
    return FileFinding(
        "look",
        channel.name,
        f"{outside.sum()} readings outside {channel.low:g} to {channel.high:g} {channel.unit}, "
        f"first {reading:g} in data row {found.rows[first]}",
        "sets them to missing" if np.isnan(kept[outside]).all() else "refuses the file",
        "check unit and sensor; widen low and high if such readings are possible",
    )


def _stuck(found: OwnFile, name: str, values: NDArray[np.float64]) -> Iterator[FileFinding]:
    """Readings that stay equal and are kept."""
    readings, stuck = values[~np.isnan(values)], frozen(found.series, values)
    constant = readings.size > 1 and bool((readings == readings[0]).all())
    if constant or stuck.any():
        what = (
            f"never changes from {readings[0]:g}"
            if constant
            else f"stuck for {_longest_run(values)} readings, first from data row "
            f"{_first_row(found, stuck)}"
        )
        yield FileFinding(
            "look",
            name,
            what,
            f"keeps what does not fill a recording of {FROZEN_SAMPLES} readings or more",
            "check the sensor; nothing, if the plant was at rest",
        )


def _values(found: OwnFile, channel: Channel) -> NDArray[np.float64]:
    return found.series[channel.name].to_numpy(dtype=np.float64)


def _longest_run(values: NDArray[np.float64]) -> int:
    present = values[~np.isnan(values)]
    return int(np.bincount(run_numbers(present)).max()) if present.size else 0


def _first_row(found: OwnFile, chosen: NDArray[np.bool_]) -> int | None:
    return int(found.rows[np.flatnonzero(chosen)[0]]) if chosen.any() else None
