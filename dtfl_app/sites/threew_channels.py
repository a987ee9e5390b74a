"""Which of 3W's channels the recordings of an event type hold: the default of all but type 2."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.core.logs import log
from dtfl_app.sites.partition import by_column
from dtfl_app.sites.threew import CHANNELS, EVENT_NAMES, read_threew_raw, well_of
from twin.schema import INSTANCE, out_of_range

__all__ = ["REASON", "held_channels"]

#: Why these channels, for a sentence.
REASON = "those that most wells have live readings of, and the simulated recordings throughout"


@cache
def held_channels(measured: Path, simulated: Path | None, event: int) -> tuple[str, ...]:
    """Return the channels that the recordings of an event type hold, and say so in the log.

    A well holds a channel if in one of its recordings a reading is possible and changes; taken is
    what most wells hold, or any if nothing is held by most. Of these, what a simulated recording
    lacks a reading of is left out, unless nothing stays: a twin has no gaps.

    Parameters
    ----------
    measured, simulated : what `read_threew_raw` reads of wells and of OLGA; None without any.
    event : of `EVENT_NAMES`.

    Raises DataError where no recording has a reading.
    """
    wells = by_column(_all_channels(measured, "WELL", event), well_of)
    often = {name: sum(_holds(well, name) for well in wells.values()) for name in CHANNELS}
    held = [name for name in CHANNELS if 2 * often[name] > len(wells)]
    held = held or [name for name in CHANNELS if often[name]]
    if not held:
        raise DataError(
            f"{measured}: no recording of event type {event} has a live reading in any of "
            f"{', '.join(CHANNELS)}; expected another data.event"
        )
    if simulated is not None:
        twin = _all_channels(simulated, "SIMULATED", event)
        held = [name for name in held if twin[name].notna().all()] or held
    log.info(
        "3W, event type %d (%s): data.channels is empty; taken are %s: %s",
        event,
        EVENT_NAMES[event],
        ", ".join(held),
        REASON,
    )
    return tuple(held)


def _all_channels(path: Path, source: str, event: int) -> pd.DataFrame:
    return read_threew_raw(path, tuple(CHANNELS), source, (event,), optional=True)


def _holds(well: pd.DataFrame, name: str) -> bool:
    return any(readings.nunique() > 1 for readings in _possible(well, name))


def _possible(well: pd.DataFrame, name: str) -> Iterator[pd.Series[float]]:
    channel = CHANNELS[name]
    for _, recording in well.groupby(INSTANCE, sort=False):
        readings = recording[name]
        yield readings[~out_of_range(readings.to_numpy(), channel.low, channel.high)]
