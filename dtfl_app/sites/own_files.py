"""A site's own file read by its schema: from CSV or Parquet to a labelled series.

Bad readings are set to missing and reported (`quality.clean`); a bad clock is not mended but
refused, with the row, because windows and labels would be wrong without a word. The one exception
are rows that repeat an earlier one in everything, as joined exports have them: they are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.core.logs import log
from dtfl_app.sites.findings import counted
from dtfl_app.sites.intake import RowKeys, take_in
from dtfl_app.sites.label_guess import names_label
from dtfl_app.sites.own_labels import MissedEvent
from dtfl_app.sites.quality import QualityReport, clean
from dtfl_app.sites.readers import assemble_series, flagged_events
from dtfl_app.sites.site_schema import EventTable, LabelColumn, SiteSchema
from dtfl_app.sites.spool import LateReadings, spool_of
from dtfl_app.sites.stretches import stretch_names
from twin.schema import INSTANCE, TIME

__all__ = [
    "OwnFile",
    "RawFile",
    "clock_change",
    "ignored_labels",
    "load_own_file",
    "order",
    "read_own_file",
    "read_raw",
    "read_spooled",
    "steps_of",
    "timeless_rows",
]

# Steps of a clock are uneven; a median this far from the schema's period is another period.
_PERIOD_TOLERANCE = 0.05
_HOUR_S = 3600.0
# Events named in a line of the log.
_SHOWN = 5


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


@dataclass(frozen=True, slots=True, eq=False)
class OwnFile:
    """A file as a labelled series, its readings as delivered.

    Parameters
    ----------
    series : see ``twin.schema``; readings may be out of range.
    rows : number in the file, from 1, of each row of the series.
    repeated : number in the file, from 1, of each row that was left out as a repeat.
    late : the readings, where `series` does not have them.
    """

    series: pd.DataFrame
    rows: NDArray[np.intp]
    repeated: NDArray[np.intp]
    late: LateReadings | None = None


def load_own_file(
    path: Path, site: SiteSchema, name: str = ""
) -> tuple[pd.DataFrame, QualityReport]:
    """Read a site's file as training does: bad readings set to missing, and a report on it.

    Parameters
    ----------
    path : .csv or .parquet.
    site : how to read it.
    name : the site's name; the file's, without its ending, where none is given.

    Raises DataError or SchemaError naming file, row and column where it cannot be used.
    """
    name = name or path.stem
    raw = read_raw(path, site, name)
    if ignored := ignored_labels(raw, site):
        _tell_ignored(str(path), ", ".join(ignored))
    if raw.missed:
        _warn_of_missed(str(path), raw.missed)
    found = order(raw, site, path, name)
    cleaned, quality = clean(name, found.series, site.schema)
    site.schema.validate(cleaned, str(path))
    return cleaned, replace(quality, repeated=found.repeated.size)


def read_own_file(path: Path, site: SiteSchema, name: str = "") -> OwnFile:
    """Read a file into a labelled series with all readings as delivered.

    Parameters and errors as of `load_own_file`.
    """
    return order(read_raw(path, site, name or path.stem), site, path, name or path.stem)


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


def ignored_labels(raw: RawFile, site: SiteSchema) -> tuple[str, ...]:
    """Name the columns that look like labels where a table of events decides."""
    decides = isinstance(site.labels, EventTable)
    return tuple(name for name in raw.unused if decides and names_label(name))


@cache
def _tell_ignored(path: str, columns: str) -> None:
    log.info("%s: column %s is ignored, as the table of events has the labels", path, columns)


@cache
def _warn_of_missed(path: str, missed: tuple[MissedEvent, ...]) -> None:
    log.warning(
        "%s: %s of the table cover no row of it: %s%s",
        path,
        counted(len(missed), "event"),
        "; ".join(map(str, missed[:_SHOWN])),
        "; ..." if missed[_SHOWN:] else "",
    )


def order(raw: RawFile, site: SiteSchema, path: Path, name: str) -> OwnFile:
    """Leave out repeated rows and check the clock of the others.

    Raises DataError where time does not go forward, SchemaError where the sampling period is not
    the schema's.
    """
    repeated = raw.repeats()
    kept = raw.take(~repeated) if repeated.any() else raw
    _require_forward(kept, site, path)
    _require_period(kept, site, path)
    period = site.schema.period_s
    instance = stretch_names(kept.time, period, name) if kept.instance is None else kept.instance
    series = assemble_series(kept.time, kept.values, instance, kept.label, kept.event)
    return OwnFile(series, kept.rows, raw.rows[repeated], kept.late)


def steps_of(raw: RawFile) -> NDArray[np.float64]:
    """Seconds from the row before, of the same recording, to each row; NaN at a first one."""
    if raw.instance is None:
        return np.append(np.nan, np.diff(raw.time.astype(np.int64)) / 1e9)
    step = pd.Series(raw.time).groupby(raw.instance.to_numpy()).diff()
    return np.asarray(step.dt.total_seconds(), dtype=np.float64)


def timeless_rows(raw: RawFile) -> NDArray[np.intp]:
    """Positions of the rows that are not later than the row before in their recording."""
    return np.flatnonzero(steps_of(raw) <= 0.0)


def clock_change(step_s: float, period_s: float) -> bool:
    """Whether a step backwards is that of a clock put back by an hour in autumn."""
    return abs(step_s - (period_s - _HOUR_S)) < period_s / 2


def _require_forward(raw: RawFile, site: SiteSchema, path: Path) -> None:
    bad = timeless_rows(raw)
    if not bad.size:
        return
    row, step = int(bad[0]), float(steps_of(raw)[bad[0]])
    what = "repeats with other readings" if step == 0.0 else f"goes back by {-step:g} s"
    if clock_change(step, site.schema.period_s):
        mend = (
            "this looks like the end of daylight saving time: export time stamps in UTC or with "
            "their zone (2024-10-27T02:00:00+01:00)"
        )
    elif bad.size > len(raw.time) // 2:
        mend = (
            'the schema says order = "newest-first"; leave that out if the first row is the oldest'
            if site.newest_first
            else "sort the rows by time, oldest first, or, if the first row is the newest, say so "
            'in the schema: order = "newest-first"'
        )
    else:
        mend = (
            "correct or remove the rows, or give each recording a name in a column "
            f"{INSTANCE!r} if the file joins several"
        )
    raise DataError(
        f"{path}: data row {raw.rows[row]}, column {site.time!r}: time {what}, to "
        f"{raw.time[row].astype('datetime64[s]')} ({bad.size} such rows); {mend}"
    )


def _require_period(raw: RawFile, site: SiteSchema, path: Path) -> None:
    steps, period = steps_of(raw), site.schema.period_s
    if np.isnan(steps).all():
        return
    median = float(np.nanmedian(steps))
    if abs(median - period) > _PERIOD_TOLERANCE * period:
        raise SchemaError(
            f"{path}: it is sampled every {median:g} s (median), the schema says period-s = "
            f"{period:g}; correct the schema, or resample the file"
        )
