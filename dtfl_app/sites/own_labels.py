"""Labels of a site's own file: from a column of it, or from a table of events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.columns import parse_times
from dtfl_app.sites.label_column import LabelReader
from dtfl_app.sites.readers import flagged_events, read_table, recordings, require_columns
from dtfl_app.sites.site_schema import EventTable, SiteSchema
from twin.schema import ABNORMAL, EVENT, INSTANCE, NORMAL, UNLABELLED

__all__ = ["SITE", "Labels", "MissedEvent", "label_cells", "read_labels", "shown"]

#: Column of an event table that says whose event it is; empty = every site's.
SITE = "site"
_START, _END, _OWN = "start", "end", "own"


@dataclass(frozen=True, slots=True)
class MissedEvent:
    """An event of a table that covers no row of a file.

    Parameters
    ----------
    name : as in the table.
    start, end : as read, ISO 8601.
    outside : whether it is before the file's first row or after its last.
    own : whether the table says that it is this site's; otherwise it may be another's.
    """

    name: str
    start: str
    end: str
    outside: bool
    own: bool

    def __str__(self) -> str:
        where = "outside the recording" if self.outside else "between two rows"
        return f"{self.name!r}, {self.start} to {self.end}, {where}"


class Labels(NamedTuple):
    """Label and event of each of n rows, as in ``twin.schema``, and the events that have no row."""

    label: NDArray[np.int8]
    event: NDArray[np.object_]
    missed: tuple[MissedEvent, ...] = ()


def read_labels(
    frame: pd.DataFrame, time: NDArray[np.datetime64], site: SiteSchema, path: Path, name: str
) -> Labels:
    """Return label and event of each of the file's n rows, as in ``twin.schema``.

    A file without the schema's label column is unlabelled. Runs of abnormal rows are events
    "flagged-1", "flagged-2", and so on, with the recording's name before it where the file has
    several ("pump-7 flagged-1"); a table's events carry its names, numbered ("leak#2") where
    one recurs and joined by "+" where they overlap.

    Parameters
    ----------
    frame : the file's columns.
    time : its time stamps, shape (n,).
    site : where labels are.
    path : the file, for messages.
    name : the site, for tables that list several.

    Raises DataError or SchemaError naming file, row and value.
    """
    if isinstance(site.labels, EventTable):
        return _from_table(_events(site.labels.path, site, name), time)
    if site.labels is None or site.labels.column not in frame:
        return Labels(np.full(len(frame), UNLABELLED, np.int8), np.full(len(frame), "", object))
    column = frame[site.labels.column]
    label = _from_column(column, LabelReader(site.labels, site.csv.grammar), path)
    recording = recordings(frame[INSTANCE]).tolist() if INSTANCE in frame else None
    return Labels(label, flagged_events(label, recording))


def label_cells(
    column: pd.Series[Any], reader: LabelReader
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the label of each cell, and which cells are no label and count as unlabelled."""
    place, cells = pd.factorize(column)
    # The last one is where factorize's -1 for an empty cell leads to.
    found = [reader.read(cell) for cell in (*cells, "")]
    labels = np.array([UNLABELLED if one is None else one for one in found], np.int8)
    return labels[place], np.array([one is None for one in found])[place]


def _from_column(column: pd.Series[Any], reader: LabelReader, path: Path) -> NDArray[np.int8]:
    label, strange = label_cells(column, reader)
    if strange.any():
        row, labels = int(np.flatnonzero(strange)[0]), reader.labels
        raise DataError(
            f"{path}: data row {row + 1}, column {labels.column!r}: {shown(column.iloc[row])} is "
            f"no label ({strange.sum()} such rows); expected one of normal {list(labels.normal)}, "
            f"abnormal {list(labels.abnormal)}, unlabelled {list(labels.unlabelled)}, or an empty "
            "cell; list the value under [labels] in the schema: a number, or a word, in which * "
            "stands for any letters"
        )
    return label


def shown(cell: object) -> str:
    """Return a cell as a message has it: a text in quotes."""
    return f"{cell:g}" if isinstance(cell, Real) else repr(str(cell))


def _events(path: Path, site: SiteSchema, name: str) -> pd.DataFrame:
    """This site's events with their times, names made different."""
    # It is written like the site's file, but nothing stands before or below its header.
    dialect = replace(site.csv, header_row=0, skip_rows=0)
    frame = read_table(path, dialect, least=0, text=(_START, _END), short_rows=True)
    require_columns(frame, [_START, _END, EVENT], path)
    formats = (*site.time_forms, "ISO8601")
    start, end = (parse_times(frame[column], path, formats) for column in (_START, _END))
    backwards = np.flatnonzero(end < start)
    if backwards.size:
        row = int(backwards[0])
        raise DataError(
            f"{path}: data row {row + 1}: the event ends at {frame[_END][row]}, before its start "
            f"at {frame[_START][row]}; correct one of them"
        )
    events = pd.DataFrame({_START: start, _END: end, EVENT: _texts(frame[EVENT]), _OWN: False})
    if SITE in frame:
        whose = _texts(frame[SITE])
        events = events.assign(**{_OWN: whose == name})[whose.isin(["", name])]
    return events.assign(**{EVENT: _numbered(events[EVENT].to_list())})


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).where(column.notna(), "").astype(str).str.strip()


def _numbered(names: list[str]) -> list[str]:
    """An unnamed event is called "event"; of equal names each gets its number."""
    named = [name or EVENT for name in names]
    often, so_far, found = Counter(named), Counter[str](), []
    for name in named:
        so_far[name] += 1
        found.append(f"{name}#{so_far[name]}" if often[name] > 1 else name)
    return found


def _from_table(events: pd.DataFrame, time: NDArray[np.datetime64]) -> Labels:
    label = np.full(len(time), NORMAL, dtype=np.int8)
    event = np.full(len(time), "", dtype=object)
    missed = []
    columns = (events[name] for name in (_START, _END, EVENT, _OWN))
    for start, end, name, own in zip(*columns, strict=True):
        first, last = start.to_datetime64(), end.to_datetime64()
        inside = (time >= first) & (time <= last)
        label[inside] = ABNORMAL
        event[inside] = [f"{before}+{name}" if before else name for before in event[inside]]
        if not inside.any():
            outside = not time.size or bool(last < time.min() or first > time.max())
            missed.append(MissedEvent(name, start.isoformat(), end.isoformat(), outside, bool(own)))
    return Labels(label, event, tuple(missed))
