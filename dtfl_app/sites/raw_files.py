"""A site's own file as its rows are: parsed by its schema, in no other way touched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.sites.intake import RowKeys, take_in
from dtfl_app.sites.own_labels import MissedEvent
from dtfl_app.sites.readers import flagged_events
from dtfl_app.sites.recordings import Recordings
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from dtfl_app.sites.spool import LateReadings, spool_of
from dtfl_app.sites.stretches import FilledRows, fill_gaps
from twin.schema import INSTANCE, TIME, Channel

__all__ = ["RawFile", "fill", "read_raw", "read_spooled", "steps_of", "timeless_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class RawFile:
    """A file's n rows, parsed and otherwise as delivered.

    Parameters
    ----------
    time : datetime64[ns], shape (n,).
    values : a float64 column per channel, under its agreed name; NaN = missing. None at all where
        readings are `late`.
    instance : recording that each row belongs to; None where the file does not say.
    label, event : shape (n,), as in ``twin.schema``.
    rows : number of each row in the file, from 1, shape (n,).
    unused : columns of the file that the schema does not use.
    missed : events of the schema's table that cover none of the rows.
    form : the form that its times have, as `cells.parse_time` takes it; "" where they are no texts.
    late : the readings, where memory is not to hold all of them.
    """

    time: NDArray[np.datetime64]
    values: pd.DataFrame
    instance: pd.Series[Any] | None
    label: NDArray[np.int8]
    event: NDArray[np.object_]
    rows: NDArray[np.intp]
    unused: tuple[str, ...] = ()
    missed: tuple[MissedEvent, ...] = ()
    form: str = ""
    late: LateReadings | None = None

    def repeats(self) -> NDArray[np.bool_]:
        """Tell for each row whether an earlier one is the same in everything."""
        repeated = self._same_time()
        chosen = np.flatnonzero(repeated)
        if chosen.size:
            # Few rows share their time; only these are compared in everything.
            keys = [self.time[chosen], self.label[chosen], self.event[chosen]]
            if self.instance is not None:
                keys.append(self.instance.to_numpy()[chosen])
            names = self.values.columns if self.late is None else self.late.names
            group = np.zeros(chosen.size, dtype=np.int64)
            for key in itertools.chain(keys, (self.channel(name)[chosen] for name in names)):
                place = pd.factorize(key, use_na_sentinel=False)[0]
                group = pd.factorize(group * (place.max() + 1) + place)[0]
            repeated[chosen] = pd.Series(group).duplicated()
        return repeated

    def _same_time(self) -> NDArray[np.bool_]:
        """Tell which rows are not the only one of their time, and recording."""
        if bool((self.time[1:] > self.time[:-1]).all()):
            return np.zeros(len(self.time), dtype=bool)
        instance = "" if self.instance is None else self.instance
        when = pd.DataFrame({TIME: self.time}).assign(**{INSTANCE: instance})
        return when.duplicated(keep=False).to_numpy(copy=True)

    def channel(self, name: str) -> NDArray[np.float64]:
        """Return a channel's readings, shape (n,)."""
        if self.late is not None:
            return self.late.read(name)
        return self.values[name].to_numpy(dtype=np.float64)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> RawFile:
        """Return the chosen rows, by a mask or their positions."""
        instance, late = self.instance, self.late
        return replace(
            self,
            time=self.time[chosen],
            values=self.values.iloc[chosen].reset_index(drop=True),
            instance=None if instance is None else instance.iloc[chosen].reset_index(drop=True),
            label=self.label[chosen],
            event=self.event[chosen],
            rows=self.rows[chosen],
            late=None if late is None else late.then(lambda _, values: values[chosen]),
        )


def read_raw(path: Path, site: SiteSchema, name: str) -> RawFile:
    """Parse a file's rows by the schema; DataError or SchemaError at what cannot be parsed."""
    blocks: list[Sequence[NDArray[np.float64]]] = []
    keys = take_in(path, site, name, blocks.append)
    values = _joined(blocks, len(keys.time)).T
    return _raw(keys, pd.DataFrame(values, columns=site.schema.names, copy=False), None, site)


@contextmanager
def read_spooled(path: Path, site: SiteSchema, name: str) -> Iterator[RawFile]:
    """Parse a file's rows as `read_raw` does, with the readings in a temporary file.

    They are in memory one channel at a time: `RawFile.channel`, while the context lasts.
    """
    with spool_of(site.schema.names) as spool:
        keys = take_in(path, site, name, spool.add)
        none = pd.DataFrame(index=pd.RangeIndex(len(keys.time)))
        yield _raw(keys, none, LateReadings(spool.names, spool.channel), site)


def _raw(
    keys: RowKeys, values: pd.DataFrame, late: LateReadings | None, site: SiteSchema
) -> RawFile:
    raw = RawFile(
        keys.time,
        values,
        keys.instance,
        keys.label,
        keys.event,
        np.arange(1, len(keys.time) + 1),
        keys.unused,
        keys.missed,
        keys.form,
        late,
    )
    return _turned(raw, site) if site.newest_first else raw


def _joined(blocks: list[Sequence[NDArray[np.float64]]], rows: int) -> NDArray[np.float64]:
    """Move the blocks into one array, shape (channels, rows), so that they never are there twice.

    What is empty at first takes no memory until it is written.
    """
    values, end = np.empty((len(blocks[0]), rows)), rows
    while blocks:
        block = blocks.pop()
        start = end - len(block[0])
        for place, readings in enumerate(block):
            values[place, start:end] = readings
        end = start
    return values


def _turned(raw: RawFile, site: SiteSchema) -> RawFile:
    """The last row first; runs of flagged rows are numbered anew."""
    turned = raw.take(np.arange(len(raw.rows))[::-1])
    if isinstance(site.labels, LabelColumn):
        return replace(turned, event=flagged_events(turned.label))
    return turned


def fill(raw: RawFile, site: SiteSchema) -> tuple[RawFile, NDArray[np.bool_]]:
    """Put in the rows that fill gaps, and tell for each row whether it is one of these."""
    none = np.zeros(len(raw.rows), dtype=bool)
    if not site.gaps.max_gap_s:
        return raw, none
    channels = site.schema.channels
    time = raw.time.astype("datetime64[ns]").astype(np.int64)
    if raw.late is None:
        rows = _filling_rows(raw, time, raw.values.to_numpy(), channels, site)
    else:
        # Which rows there are to be, says a channel without readings too.
        rows = _filling_rows(raw, time, np.full((len(time), 1), np.nan), channels[:1], site)
    if not rows.before.size:
        return raw, none
    place = rows.before + 1
    # Which recorded row gives each row its name, label, event and number.
    whole = raw.take(np.insert(np.arange(len(raw.rows)), place, rows.before))
    whole = replace(whole, time=np.insert(time, place, rows.time).astype("datetime64[ns]"))
    if raw.late is None:
        values = np.insert(raw.values.to_numpy(), place, rows.values, axis=0)
        whole = replace(whole, values=pd.DataFrame(values, columns=raw.values.columns))
    else:
        named = {channel.name: channel for channel in channels}

        def filled(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
            found = _filling_rows(raw, time, values[:, None], (named[name],), site)
            return np.insert(values, place, found.values[:, 0])

        whole = replace(whole, late=raw.late.then(filled))
    return whole, np.insert(none, place, True)


def _filling_rows(
    raw: RawFile,
    time: NDArray[np.int64],
    values: NDArray[np.float64],
    channels: tuple[Channel, ...],
    site: SiteSchema,
) -> FilledRows:
    """The rows that fill the gaps within a recording, with readings of some channels."""
    rows = fill_gaps(time, values, replace(site.schema, channels=channels), site.gaps)
    if raw.instance is None:
        return rows
    names = raw.instance.to_numpy()
    return rows.take(names[rows.before] == names[rows.before + 1])


def steps_of(raw: RawFile) -> NDArray[np.float64]:
    """Seconds from the row before, of the same recording, to each row; NaN at a first one."""
    if raw.instance is None:
        return np.append(np.nan, np.diff(raw.time.astype(np.int64)) / 1e9)
    step = pd.Series(raw.time).groupby(Recordings.of(raw.instance).number).diff()
    return np.asarray(step.dt.total_seconds(), dtype=np.float64)


def timeless_rows(raw: RawFile) -> NDArray[np.intp]:
    """Positions of the rows that are not later than the row before in their recording."""
    return np.flatnonzero(steps_of(raw) <= 0.0)
