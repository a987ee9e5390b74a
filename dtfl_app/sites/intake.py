"""A site's file taken in chunk by chunk: readings go on at once, times and labels are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.cell_errors import not_a_number, not_a_time
from dtfl_app.sites.cells import fitting_format
from dtfl_app.sites.columns import read_numbers, read_times
from dtfl_app.sites.guesses import names_sensors, require_wide
from dtfl_app.sites.own_labels import MissedEvent, read_labels
from dtfl_app.sites.readers import read_chunks, recordings, require_columns, require_rows
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from twin.schema import INSTANCE

__all__ = ["RowKeys", "Sink", "take_in"]

#: Takes a chunk's readings, an array of shape (rows,) per channel of the schema.
Sink = Callable[[Sequence[NDArray[np.float64]]], None]


@dataclass(frozen=True, slots=True, eq=False)
class RowKeys:
    """What a file says of its n rows beside their readings; see `own_files.RawFile`."""

    time: NDArray[np.datetime64]
    instance: pd.Series[Any] | None
    label: NDArray[np.int8]
    event: NDArray[np.object_]
    unused: tuple[str, ...]
    missed: tuple[MissedEvent, ...]
    form: str


def take_in(path: Path, site: SiteSchema, name: str, sink: Sink) -> RowKeys:
    """Parse a file's rows by the schema, a chunk at a time, and hand their readings to `sink`.

    Raises DataError or SchemaError at what cannot be parsed, as if the file were read in one piece:
    after its last row.
    """
    intake = _Intake(path, site)
    for chunk in read_chunks(path, site.csv, text=(site.time, INSTANCE)):
        intake.add(chunk, sink)
    return intake.finish(name)


class _Intake:
    """The state between two chunks of a file."""

    def __init__(self, path: Path, site: SiteSchema) -> None:
        self._path, self._site, self._grammar = path, site, site.csv.grammar
        self._columns = [site.columns[channel] for channel in site.schema.names]
        self._rows, self._read_any = 0, False
        self._head = pd.DataFrame()
        self._form = ""
        self._kept: list[str] = []
        self._times: list[NDArray[np.datetime64]] = []
        self._chunks: list[pd.DataFrame] = []
        # Column -> row and cell of the first one that is no number, and how many there are.
        self._no_numbers: dict[str, tuple[int, object, int]] = {}
        self._no_time: tuple[int, object] | None = None

    def add(self, chunk: pd.DataFrame, sink: Sink) -> None:
        """Take the next rows."""
        if not self._rows:
            self._begin(chunk)
        if {self._site.time, *self._columns} <= set(self._head.columns):
            block = [self._numbers(chunk[column]) for column in self._columns]
            self._read_any |= any(not np.isnan(values).all() for values in block)
            self._take_times(chunk[self._site.time])
            # A copy, or it would keep the whole chunk.
            self._chunks.append(chunk[self._kept].copy())
            if not self._no_numbers:
                sink(block)
        self._rows += len(chunk)

    def _begin(self, chunk: pd.DataFrame) -> None:
        self._head, labels = chunk.iloc[:0], self._site.labels
        wanted = {INSTANCE, labels.column if isinstance(labels, LabelColumn) else ""}
        if len(self._columns) == 1:
            wanted |= {c for c in chunk.columns if names_sensors(c)}
        self._kept = [c for c in chunk.columns if c in wanted]

    def _numbers(self, column: pd.Series[Any]) -> NDArray[np.float64]:
        numbers, bad = read_numbers(column, self._grammar)
        if bad.size:
            place = int(bad[0])
            row, cell, count = self._no_numbers.get(
                str(column.name), (self._rows + place, column.iloc[place], 0)
            )
            self._no_numbers[str(column.name)] = row, cell, count + bad.size
        return numbers

    def _take_times(self, column: pd.Series[Any]) -> None:
        formats = self._site.time_forms
        if not self._form and len(column):
            self._form = fitting_format(str(column.iloc[0]), formats) or formats[0]
        times = read_times(column, self._form or formats[0])
        bad = np.isnat(times)
        if self._no_time is None and bad.any():
            place = int(np.argmax(bad))
            self._no_time = self._rows + place, column.iloc[place]
        self._times.append(times)

    def finish(self, name: str) -> RowKeys:
        """Return what was kept of all rows; DataError or SchemaError for what was found wrong."""
        path, site = self._path, self._site
        require_rows(self._rows, path)
        require_columns(self._head, [site.time, *self._columns], path)
        kept = pd.concat(self._chunks, ignore_index=True)
        self._chunks.clear()
        unused = self._unused()
        beside = {*unused, *self._columns}
        require_wide(kept[[c for c in kept if c in beside]], self._columns, path)
        for column in self._columns:
            if column in self._no_numbers:
                raise not_a_number(path, column, *self._no_numbers[column], self._grammar)
        if not self._read_any:
            raise DataError(
                f"{path}: every reading of every channel is empty; nothing to learn from"
            )
        if self._no_time is not None:
            raise not_a_time(path, site.time, *self._no_time, site.time_forms)
        time = np.concatenate(self._times)
        self._times.clear()
        instance = recordings(kept[INSTANCE]) if INSTANCE in kept else None
        labels = read_labels(kept, time, site, path, name)
        form = "" if pd.api.types.is_datetime64_any_dtype(self._head[site.time]) else self._form
        return RowKeys(time, instance, labels.label, labels.event, unused, labels.missed, form)

    def _unused(self) -> tuple[str, ...]:
        used = {self._site.time, INSTANCE, *self._columns}
        if isinstance(self._site.labels, LabelColumn):
            used.add(self._site.labels.column)
        return tuple(str(name) for name in self._head.columns if name not in used)
