"""A site's own file read by its schema: from CSV or Parquet to a labelled series.

Bad readings are set to missing and reported (`quality.clean`); a bad clock is not mended but
refused, with the row, because windows and labels would be wrong without a word. The one exception
are rows that repeat an earlier one in everything, as joined exports have them: they are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.core.logs import log
from dtfl_app.sites.findings import counted
from dtfl_app.sites.label_guess import names_label
from dtfl_app.sites.own_labels import MissedEvent
from dtfl_app.sites.quality import QualityReport, clean
from dtfl_app.sites.raw_files import RawFile, fill, read_raw, steps_of, timeless_rows
from dtfl_app.sites.readers import assemble_series
from dtfl_app.sites.site_schema import EventTable, SiteSchema
from dtfl_app.sites.spool import LateReadings
from dtfl_app.sites.stretches import stretch_names
from twin.schema import INSTANCE

__all__ = [
    "PERIOD_TOLERANCE",
    "OwnFile",
    "clock_change",
    "ignored_labels",
    "load_own_file",
    "order",
    "read_own_file",
]

#: Steps of a clock are uneven; a median this far from the schema's period is another period.
PERIOD_TOLERANCE = 0.05
_HOUR_S = 3600.0
# Events named in a line of the log.
_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class OwnFile:
    """A file as a labelled series, its readings as delivered.

    Parameters
    ----------
    series : see ``twin.schema``; readings may be out of range.
    rows : number in the file, from 1, of each row of the series.
    repeated : number in the file, from 1, of each row that was left out as a repeat.
    filled : for each row whether it was made up to fill a gap; its number is that of the row
        before the gap. Shape (n,).
    late : the readings, where `series` does not have them.
    """

    series: pd.DataFrame
    rows: NDArray[np.intp]
    repeated: NDArray[np.intp]
    filled: NDArray[np.bool_]
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
    filled = int(found.filled.sum())
    return cleaned, replace(quality, repeated=found.repeated.size, filled=filled)


def read_own_file(path: Path, site: SiteSchema, name: str = "") -> OwnFile:
    """Read a file into a labelled series with all readings as delivered.

    Parameters and errors as of `load_own_file`.
    """
    return order(read_raw(path, site, name or path.stem), site, path, name or path.stem)


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
    """Leave out repeated rows, check the clock of the others and fill gaps as the schema says.

    Raises DataError where time does not go forward, SchemaError where the sampling period is not
    the schema's.
    """
    repeated = raw.repeats()
    kept = raw.take(~repeated) if repeated.any() else raw
    _require_forward(kept, site, path)
    _require_period(kept, site, path)
    whole, filled = fill(kept, site)
    names = _stretches(whole, site.schema.period_s, name)
    series = assemble_series(whole.time, whole.values, names, whole.label, whole.event)
    return OwnFile(series, whole.rows, raw.rows[repeated], filled, whole.late)


def _stretches(raw: RawFile, period_s: float, name: str) -> NDArray[np.object_]:
    """Name the uninterrupted stretches of each recording, `name` being that of a nameless one."""
    if raw.instance is None:
        return np.array(stretch_names(raw.time, period_s, name), dtype=object)
    found = np.empty(len(raw.time), dtype=object)
    for recording, rows in raw.instance.groupby(raw.instance).indices.items():
        found[rows] = stretch_names(raw.time[rows], period_s, str(recording))
    return found


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
    if abs(median - period) > PERIOD_TOLERANCE * period:
        raise SchemaError(
            f"{path}: it is sampled every {median:g} s (median), the schema says period-s = "
            f"{period:g}; correct the schema, or resample the file"
        )
