"""A site's own file read by its schema: from CSV or Parquet to a labelled series.

Bad readings are set to missing and reported (`quality.clean`); a bad clock is not mended but
refused, with the row, because windows and labels would be wrong without a word. The one exception
are rows that repeat an earlier one in everything, as joined exports have them: they are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.guesses import require_wide
from dtfl_app.sites.own_labels import read_labels
from dtfl_app.sites.quality import QualityReport, clean
from dtfl_app.sites.readers import (
    assemble_series,
    flagged_events,
    parse_numbers,
    parse_times,
    read_table,
    recordings,
    require_columns,
)
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from dtfl_app.sites.stretches import stretch_names
from twin.schema import EVENT, INSTANCE, LABEL, TIME

__all__ = [
    "OwnFile",
    "RawFile",
    "clock_change",
    "load_own_file",
    "order",
    "read_own_file",
    "read_raw",
    "steps_of",
    "timeless_rows",
]

# Steps of a clock are uneven; a median this far from the schema's period is another period.
_PERIOD_TOLERANCE = 0.05
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class RawFile:
    """A file's n rows, parsed and otherwise as delivered.

    Parameters
    ----------
    time : datetime64[ns], shape (n,).
    values : a float64 column per channel, under its agreed name; NaN = missing.
    instance : recording that each row belongs to; None where the file does not say.
    label, event : shape (n,), as in ``twin.schema``.
    rows : number of each row in the file, from 1, shape (n,).
    unused : columns of the file that the schema does not use.
    """

    time: NDArray[np.datetime64]
    values: pd.DataFrame
    instance: pd.Series[Any] | None
    label: NDArray[np.int8]
    event: NDArray[np.object_]
    rows: NDArray[np.intp]
    unused: tuple[str, ...] = ()

    def repeats(self) -> NDArray[np.bool_]:
        """Tell for each row whether an earlier one is the same in everything."""
        instance = "" if self.instance is None else self.instance
        when = pd.DataFrame({TIME: self.time}).assign(**{INSTANCE: instance})
        repeated = when.duplicated(keep=False).to_numpy(copy=True)
        # Few rows share their time; only these are compared in everything.
        whole = pd.concat([when, self.values], axis=1)[repeated]
        whole = whole.assign(**{LABEL: self.label[repeated], EVENT: self.event[repeated]})
        repeated[repeated] = whole.duplicated().to_numpy()
        return repeated

    def take(self, chosen: NDArray[np.bool_]) -> RawFile:
        """Return the chosen rows."""
        return RawFile(
            self.time[chosen],
            self.values[chosen].reset_index(drop=True),
            None if self.instance is None else self.instance[chosen].reset_index(drop=True),
            self.label[chosen],
            self.event[chosen],
            self.rows[chosen],
            self.unused,
        )


@dataclass(frozen=True, slots=True, eq=False)
class OwnFile:
    """A file as a labelled series, its readings as delivered.

    Parameters
    ----------
    series : see ``twin.schema``; readings may be out of range.
    rows : number in the file, from 1, of each row of the series.
    repeated : number in the file, from 1, of each row that was left out as a repeat.
    """

    series: pd.DataFrame
    rows: NDArray[np.intp]
    repeated: NDArray[np.intp]


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
    found = read_own_file(path, site, name)
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
    frame = read_table(path, site.csv, text=(site.time, INSTANCE))
    columns = [site.columns[channel] for channel in site.schema.names]
    require_columns(frame, [site.time, *columns], path)
    require_wide(frame[list(_unused(frame, site)) + columns], columns, path)
    numbers = parse_numbers(frame, columns, path, site.csv.grammar)
    if bool(numbers.isna().all(axis=None)):
        raise DataError(f"{path}: every reading of every channel is empty; nothing to learn from")
    time = parse_times(frame[site.time], path, site.time_forms)
    raw = RawFile(
        time,
        pd.DataFrame({channel: numbers[site.columns[channel]] for channel in site.schema.names}),
        recordings(frame[INSTANCE]) if INSTANCE in frame else None,
        *read_labels(frame, time, site, path, name),
        np.arange(1, len(frame) + 1),
        _unused(frame, site),
    )
    return _turned(raw, site) if site.newest_first else raw


def _turned(raw: RawFile, site: SiteSchema) -> RawFile:
    """The last row first; runs of flagged rows are numbered anew."""
    label, event = raw.label[::-1], raw.event[::-1]
    return replace(
        raw,
        time=raw.time[::-1],
        values=raw.values[::-1].reset_index(drop=True),
        instance=None if raw.instance is None else raw.instance[::-1].reset_index(drop=True),
        label=label,
        event=flagged_events(label) if isinstance(site.labels, LabelColumn) else event,
        rows=raw.rows[::-1],
    )


def _unused(frame: pd.DataFrame, site: SiteSchema) -> tuple[str, ...]:
    used = {site.time, INSTANCE, *site.columns.values()}
    if isinstance(site.labels, LabelColumn):
        used.add(site.labels.column)
    return tuple(str(name) for name in frame.columns if name not in used)


def order(raw: RawFile, site: SiteSchema, path: Path, name: str) -> OwnFile:
    """Leave out repeated rows and check the clock of the others.

    Raises DataError where time does not go forward, SchemaError where the sampling period is not
    the schema's.
    """
    repeated = raw.repeats()
    kept = raw.take(~repeated)
    _require_forward(kept, site, path)
    _require_period(kept, site, path)
    period = site.schema.period_s
    instance = stretch_names(kept.time, period, name) if kept.instance is None else kept.instance
    series = assemble_series(kept.time, kept.values, instance, kept.label, list(kept.event))
    return OwnFile(series, kept.rows, raw.rows[repeated])


def steps_of(raw: RawFile) -> NDArray[np.float64]:
    """Seconds from the row before, of the same recording, to each row; NaN at a first one."""
    time = pd.Series(raw.time)
    step = time.diff() if raw.instance is None else time.groupby(raw.instance.to_numpy()).diff()
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
