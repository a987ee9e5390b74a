"""One channel of a site's file: its figures, and what is odd in its readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.findings import FileFinding
from dtfl_app.sites.quality import clean_channel
from dtfl_app.sites.recordings import Recordings
from dtfl_app.sites.stretches import FROZEN_SAMPLES, at_rest, run_lengths
from twin.schema import Channel, out_of_range

__all__ = ["ChannelCheck", "ChannelRows", "ChannelSummary", "check_channel"]

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


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRows:
    """One channel of a file, in the order of the file's clock.

    Parameters
    ----------
    channel : what was measured.
    values : its readings as delivered, shape (n,); NaN = missing.
    recordings : those that the n rows are of.
    rows : number of each row in the file, from 1, shape (n,).
    """

    channel: Channel
    values: NDArray[np.float64]
    recordings: Recordings
    rows: NDArray[np.intp]

    @property
    def readings(self) -> NDArray[np.float64]:
        """Those that are not missing."""
        missing = np.isnan(self.values)
        return self.values[~missing] if missing.any() else self.values

    def first(self, chosen: NDArray[np.bool_]) -> int | None:
        """Number in the file of the first chosen row; None without one."""
        return int(self.rows[np.argmax(chosen)]) if chosen.any() else None


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """What is found in one channel of a file.

    Parameters
    ----------
    summary : its figures.
    as_cleaned : findings where training takes the file.
    as_delivered : findings where it refuses the file, so that nothing is set to missing.
    refused : why training refuses the channel; None where it does not.
    """

    summary: ChannelSummary
    as_cleaned: tuple[FileFinding, ...]
    as_delivered: tuple[FileFinding, ...]
    refused: DataError | None


def check_channel(read: ChannelRows, column: str, site: str) -> ChannelCheck:
    """Look at one channel, which the file of `site` calls `column`."""
    summary, refused = _summarise(read, column), None
    delivered = tuple(_findings(read, read.values))
    try:
        kept, _ = clean_channel(site, read.channel, read.values, read.recordings)
    except DataError as error:
        kept, refused = read.values, error
    cleaned = delivered if kept is read.values else tuple(_findings(read, kept))
    return ChannelCheck(summary, cleaned, delivered, refused)


def _summarise(read: ChannelRows, column: str) -> ChannelSummary:
    channel, values = read.channel, read.values
    missing, readings = np.isnan(values), read.readings
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
        float(missing.mean()),
        smallest,
        median,
        largest,
        _longest_run(readings),
        int(read.recordings.frozen(values).sum()),
        int(outside.sum()),
        read.first(outside),
    )


def _findings(read: ChannelRows, kept: NDArray[np.float64]) -> Iterator[FileFinding]:
    """Yield what is odd in the readings of one channel, and what was done about it.

    `kept` : the channel's readings as `quality.clean` left them, shape (n,).
    """
    channel, values = read.channel, read.values
    missing, outside = np.isnan(values), out_of_range(values, channel.low, channel.high)
    if missing.any():
        yield _missing(read, missing)
    if outside.any():
        yield _outside(read, outside, kept)
    dead = np.isnan(kept) & ~missing & ~outside
    if dead.any():
        yield FileFinding(
            "look",
            channel.name,
            f"never changes in a whole recording: {dead.sum()} readings, first data row "
            f"{read.first(dead)}",
            "sets them to missing: a dead sensor",
            'check the sensor; what may rest is of kind "status", or "flow" where it rests at 0',
        )
    elif not at_rest(channel.kind, read.readings).all():
        yield from _stuck(read)


def _missing(read: ChannelRows, missing: NDArray[np.bool_]) -> FileFinding:
    much = missing.mean() > _MUCH_MISSING
    return FileFinding(
        "look" if much else "note",
        read.channel.name,
        f"{missing.mean():.1%} missing, first data row {read.first(missing)}",
        _AS_MEAN,
        "fill gaps at the source, or leave the channel out of the schema" if much else "nothing",
    )


def _outside(
    read: ChannelRows, outside: NDArray[np.bool_], kept: NDArray[np.float64]
) -> FileFinding:
    channel, reading = read.channel, read.values[np.argmax(outside)]
    return FileFinding(
        "look",
        channel.name,
        f"{outside.sum()} readings outside {channel.low:g} to {channel.high:g} {channel.unit}, "
        f"first {reading:g} in data row {read.first(outside)}",
        "sets them to missing" if np.isnan(kept[outside]).all() else "refuses the file",
        "check unit and sensor; widen low and high if such readings are possible",
    )


def _stuck(read: ChannelRows) -> Iterator[FileFinding]:
    """Readings that stay equal and are kept."""
    readings, stuck = read.readings, read.recordings.frozen(read.values)
    constant = readings.size > 1 and bool((readings == readings[0]).all())
    if constant or stuck.any():
        what = (
            f"never changes from {readings[0]:g}"
            if constant
            else f"stuck for {_longest_run(readings)} readings, first from data row "
            f"{read.first(stuck)}"
        )
        yield FileFinding(
            "look",
            read.channel.name,
            what,
            f"keeps what does not fill a recording of {FROZEN_SAMPLES} readings or more",
            "check the sensor; nothing, if the plant was at rest",
        )


def _longest_run(readings: NDArray[np.float64]) -> int:
    return int(run_lengths(readings).max()) if readings.size else 0
