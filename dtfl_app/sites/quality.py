"""What is wrong with a site's readings, and what was done about it, channel by channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import SchemaError
from dtfl_app.sites.recordings import Recordings
from dtfl_app.sites.stretches import at_rest
from twin.schema import INSTANCE, Channel, Schema, out_of_range

__all__ = [
    "ChannelQuality",
    "QualityReport",
    "assess",
    "clean",
    "clean_channel",
]

# When most readings are impossible the unit is wrong; a broken sensor spoils fewer.
_WRONG_UNIT_SHARE = 0.5
_UNTOUCHED = "kept as delivered"


@dataclass(frozen=True, slots=True)
class ChannelQuality:
    """One channel at one site; shares are of the site's rows, in [0, 1].

    Parameters
    ----------
    channel : its name.
    missing : share of rows without a reading, as delivered.
    frozen : share of rows in runs of at least `FROZEN_SAMPLES` equal readings.
    impossible : share of rows whose reading is outside the physical range.
    removed : share of rows whose reading was set to missing.
    done : what was done, in words.
    """

    channel: str
    missing: float
    frozen: float
    impossible: float
    removed: float
    done: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Quality of all channels of one site, over `rows` rows.

    Parameters
    ----------
    repeated : rows of the file that repeat an earlier one in everything, and were left out.
    filled : of the `rows`, those that were made up to fill gaps.
    """

    site: str
    rows: int
    channels: tuple[ChannelQuality, ...]
    repeated: int = 0
    filled: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def assess(site: str, series: pd.DataFrame, schema: Schema) -> QualityReport:
    """Report on the readings without touching them."""
    kept, recordings = np.zeros(len(series), dtype=bool), Recordings.of(series[INSTANCE])
    channels = (
        _quality(channel, _values(series, channel), recordings, kept, _UNTOUCHED)
        for channel in schema.channels
    )
    return QualityReport(site, len(series), tuple(channels))


def clean(site: str, series: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, QualityReport]:
    """Set readings that say nothing to missing, and report it; see `clean_channel`."""
    recordings, kept, channels = Recordings.of(series[INSTANCE]), {}, []
    for channel in schema.channels:
        values = _values(series, channel)
        found, quality = clean_channel(site, channel, values, recordings)
        channels.append(quality)
        # Columns that stay as they are, are shared with `series`.
        if found is not values or series[channel.name].dtype != values.dtype:
            kept[channel.name] = found
    return series.assign(**kept), QualityReport(site, len(series), tuple(channels))


def clean_channel(
    site: str, channel: Channel, values: NDArray[np.float64], recordings: Recordings
) -> tuple[NDArray[np.float64], ChannelQuality]:
    """Set readings of one channel that say nothing to missing, and report it.

    These are: a channel that holds one value over a whole recording of at least `FROZEN_SAMPLES`
    readings (a dead sensor), and readings outside the physical range (0 Pa for "not connected").
    A pump that stands by is no dead sensor: a status that never changes is kept, and so is a flow
    that stays at 0. Values that stay equal for a part of a recording are reported and kept: a well
    at rest, or a simulation in steady state, looks just like that.

    Parameters
    ----------
    site : its name, for messages.
    channel : what was measured.
    values : its readings, shape (n,); returned as they are where nothing is to be removed.
    recordings : those that the n rows are of.

    Raises SchemaError when more than half of what is left of a channel is out of range: then it is
    the unit that is wrong.
    """
    dead = recordings.constant(values) & ~at_rest(channel.kind, values)
    broken = out_of_range(values, channel.low, channel.high) & ~dead
    _reject_wrong_unit(site, channel, values[~dead & (values != 0)])
    removed = dead | broken
    quality = _quality(channel, values, recordings, removed, _describe(recordings, dead, broken))
    return np.where(removed, np.nan, values) if removed.any() else values, quality


def _values(series: pd.DataFrame, channel: Channel) -> NDArray[np.float64]:
    return series[channel.name].to_numpy(dtype=np.float64)


def _quality(
    channel: Channel,
    values: NDArray[np.float64],
    recordings: Recordings,
    removed: NDArray[np.bool_],
    done: str,
) -> ChannelQuality:
    return ChannelQuality(
        channel.name,
        missing=float(np.isnan(values).mean()),
        frozen=float(recordings.frozen(values).mean()),
        impossible=float(out_of_range(values, channel.low, channel.high).mean()),
        removed=float(removed.mean()),
        done=done,
    )


def _reject_wrong_unit(site: str, channel: Channel, values: NDArray[np.float64]) -> None:
    readings = values[~np.isnan(values)]
    bad = out_of_range(readings, channel.low, channel.high)
    if bad.size and bad.mean() > _WRONG_UNIT_SHARE:
        raise SchemaError(
            f"{site}: column {channel.name!r}: {bad.mean():.0%} of the readings, "
            f"e.g. {readings[bad][0]:g}, are outside [{channel.low:g}, {channel.high:g}] "
            f"{channel.unit}; convert the channel to {channel.unit}"
        )


def _describe(recordings: Recordings, dead: NDArray[np.bool_], broken: NDArray[np.bool_]) -> str:
    parts = []
    if dead.any():
        count = np.unique(recordings.number[dead]).size
        parts.append(f"set to missing in {count} recordings in which it never changes")
    if broken.any():
        parts.append(f"{broken.sum()} impossible readings set to missing")
    return "; ".join(parts) or _UNTOUCHED
