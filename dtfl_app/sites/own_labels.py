"""Labels of a site's own file: from a column of it, or from a table of events."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.readers import (
    flagged_events,
    parse_numbers,
    parse_times,
    read_table,
    require_columns,
)
from dtfl_app.sites.site_schema import EventTable, LabelColumn, SiteSchema
from twin.schema import ABNORMAL, EVENT, NORMAL, UNLABELLED

__all__ = ["SITE", "read_labels"]

#: Column of an event table that says whose event it is; empty = every site's.
SITE = "site"
_START, _END = "start", "end"

Labels = tuple[NDArray[np.int8], NDArray[np.object_]]


def read_labels(
    frame: pd.DataFrame, time: NDArray[np.datetime64], site: SiteSchema, path: Path, name: str
) -> Labels:
    """Return label and event of each of the file's n rows, as in ``twin.schema``.

    A file without the schema's label column is unlabelled. Runs of abnormal rows are events
    "flagged-1", "flagged-2", and so on; a table's events carry its names, numbered ("leak#2") where
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
        return np.full(len(frame), UNLABELLED, np.int8), np.full(len(frame), "", object)
    numbers = parse_numbers(frame, [site.labels.column], path, site.csv.grammar)
    label = _from_column(numbers, site.labels, path)
    return label, flagged_events(label)


def _from_column(numbers: pd.DataFrame, labels: LabelColumn, path: Path) -> NDArray[np.int8]:
    values = numbers[labels.column]
    label = np.full(len(values), UNLABELLED, dtype=np.int8)
    label[values.isin(labels.normal)] = NORMAL
    label[values.isin(labels.abnormal)] = ABNORMAL
    known = values.isna() | values.isin([*labels.normal, *labels.abnormal, *labels.unlabelled])
    strange = np.flatnonzero(~known)
    if strange.size:
        row = int(strange[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {labels.column!r}: {values[row]:g} is no label "
            f"({strange.size} such rows); expected one of normal {list(labels.normal)}, abnormal "
            f"{list(labels.abnormal)}, unlabelled {list(labels.unlabelled)}, or an empty cell; "
            "list the value under [labels] in the schema"
        )
    return label


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
    events = pd.DataFrame({_START: start, _END: end, EVENT: _texts(frame[EVENT])})
    if SITE in frame:
        events = events[_texts(frame[SITE]).isin(["", name])]
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
    for start, end, name in zip(events[_START], events[_END], events[EVENT], strict=True):
        inside = (time >= start.to_datetime64()) & (time <= end.to_datetime64())
        label[inside] = ABNORMAL
        event[inside] = [f"{before}+{name}" if before else name for before in event[inside]]
    return label, event
