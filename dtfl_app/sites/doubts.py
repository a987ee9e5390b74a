"""What a file alone cannot decide, or speaks against: day or month, and events without a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pandas as pd

from dtfl_app.sites.clock_guess import turned, unevenness
from dtfl_app.sites.findings import FileFinding, counted
from dtfl_app.sites.own_labels import MissedEvent
from dtfl_app.sites.raw_files import RawFile

__all__ = ["missed_events", "turned_clock"]

_SHOWN = 10


def turned_clock(raw: RawFile) -> Iterator[FileFinding]:
    """Yield a finding if day and month may be changed over in every time, and nothing tells."""
    if not (other := turned(raw.form)):
        return
    when = pd.DatetimeIndex(raw.time)
    if bool((when.day > 12).any()) or not raw.time.size:
        return
    parts = {"year": when.year, "month": when.day, "day": when.month}
    swapped = pd.to_datetime(pd.DataFrame(parts)).to_numpy("datetime64[ns]")
    swapped = swapped + (raw.time - raw.time.astype("datetime64[D]"))
    now, then = unevenness(raw.time), unevenness(swapped)
    if then > now:
        return
    doubt = "is a guess, if nobody checked it" if then == now else "makes its steps less even"
    yield FileFinding(
        "note" if then == now else "look", "time",
        "every time fits with day and month changed over too: "
        f"{json.dumps(raw.form)} {doubt} (first row: {when[0].isoformat()})",
        "reads them as the schema says",
        f"nothing, if that is right; else time-formats = [{json.dumps(other)}]",
    )  # fmt: skip


def missed_events(raw: RawFile) -> Iterator[FileFinding]:
    """Yield findings on events that cover no row: this site's, and those that may be others'."""
    # One that falls between two rows is nobody else's.
    own = [event for event in raw.missed if event.own or not event.outside]
    others = [event for event in raw.missed if event not in own]
    if own:
        yield FileFinding(
            "look", "labels", _told(own), "has no row of them",
            "correct start and end, or the zone of their times: they are compared with the file's",
        )  # fmt: skip
    if others:
        yield FileFinding(
            "note", "labels", _told(others), "has no row of them",
            "nothing, if they are other files'; a column site in the table says whose they are",
        )  # fmt: skip


def _told(events: Sequence[MissedEvent]) -> str:
    more = "; ..." if events[_SHOWN:] else ""
    named = "; ".join(map(str, events[:_SHOWN])) + more
    return f"{counted(len(events), 'event')} of the table without a row in the file: {named}"
