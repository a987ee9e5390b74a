"""Lines of a site's file as rows of readings: what cannot be read is missing, never a failure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import SchemaError
from dtfl_app.sites.cells import MISSING, fitting_format, parse_time, repeated_columns
from dtfl_app.sites.lines import fit_row
from dtfl_app.sites.site_schema import SiteSchema
from twin.schema import INSTANCE

__all__ = ["RowReader", "SensorRow"]


@dataclass(frozen=True, slots=True)
class SensorRow:
    """One row of a site's file.

    Parameters
    ----------
    time : ns since 1970.
    readings : in the schema's order, shape (c,); NaN = missing.
    bad : channels whose cell was neither a number nor empty; missing, too.
    instance : recording that it belongs to; "" where the file does not say.
    """

    time: int
    readings: NDArray[np.float64]
    bad: tuple[str, ...]
    instance: str = ""


class RowReader:
    """Reads rows below a header.

    Parameters
    ----------
    site_schema : what the columns mean.
    header : the file's column names.
    where : the file, for messages.
    optional : channels that the file need not have.

    Raises SchemaError when a column is missing or two have one name. `form`, the time format in
    use, is an attribute; "" before the first row that fits one.
    """

    def __init__(
        self, site_schema: SiteSchema, header: Sequence[str], where: str, optional: Collection[str]
    ) -> None:
        self.header = list(header)
        if repeated := repeated_columns(self.header):
            raise SchemaError(f"{where}: {repeated}")
        self.form = ""
        self._formats = site_schema.time_forms
        self._grammar = site_schema.csv.grammar
        columns, names = site_schema.columns, site_schema.schema.names
        wanted = [site_schema.time, *(columns[n] for n in names if n not in optional)]
        # Of a thousand columns each is looked up once.
        place = {column: number for number, column in enumerate(self.header)}
        if missing := [name for name in wanted if name not in place]:
            raise SchemaError(
                f"{where}: columns {missing} are missing; expected {wanted}, found {self.header}. "
                "Rename or add them, or describe the file's own columns in a site schema (--schema)"
            )
        self._time = place[site_schema.time]
        self._places = [
            (number, n, place[columns[n]]) for number, n in enumerate(names) if columns[n] in place
        ]
        self._width = len(names)
        self._instance = place.get(INSTANCE)

    def read(self, cells: Sequence[str]) -> SensorRow | str:
        """Read a row's cells; where it is none, say why."""
        row = fit_row(cells, self.header)
        if row is None:
            return f"it has {len(cells)} cells, the header {len(self.header)}"
        time = self._read_time(row[self._time])
        if time is None:
            return f"{row[self._time]!r} is not a time in the format {self.form or self._formats}"
        readings, bad = np.full(self._width, np.nan), []
        for place, name, column in self._places:
            value = self._grammar.read(row[column])
            if value is None:
                bad.append(name)
            else:
                readings[place] = value
        return SensorRow(time, readings, tuple(bad), self._read_instance(row))

    def _read_instance(self, cells: Sequence[str]) -> str:
        name = "" if self._instance is None else cells[self._instance]
        return "" if name in MISSING else name

    def _read_time(self, text: str) -> int | None:
        """The first format that fits the first row is used for all, as in training."""
        self.form = self.form or fitting_format(text, self._formats) or ""
        return parse_time(text, self.form) if self.form else None
