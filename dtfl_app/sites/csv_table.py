"""A site's CSV file in chunks that pandas parses, its lines cut as a gateway cuts them.

A line ends with LF, CRLF or CR, whatever stands in quotes. What pandas is given has in each row as
many cells as the header, so that it never shifts, pads or cuts one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.sites.cells import MARK, MISSING, split_line
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.lines import damage, fit_row

__all__ = ["UNNAMED", "csv_chunks"]

#: What a column without a name is called, before its number: the row numbers of an exported frame.
UNNAMED = "Unnamed:"
# Characters of text that are parsed at a time.
_BLOCK = 2**22
_BEFORE_HEADER = "where lines stand before it, the site schema says how many: header-row"


def csv_chunks(
    path: Path, dialect: CsvDialect, text: Collection[str], short_rows: bool
) -> Iterator[pd.DataFrame]:
    """Yield a CSV file's rows, at least one chunk; the columns called so in `text` are texts.

    Raises ValueError without a header, DataError naming the first row that does not fit it.
    """
    with path.open("rb") as raw:
        codec = dialect.codec(raw.read(2))
    with path.open(encoding=codec, newline=None) as file:
        for _ in range(dialect.header_row):
            next(file, "")
        header = _header(file, path, dialect)
        for _ in range(dialect.skip_rows):
            next(file, "")
        rows = _Rows(path, dialect, header, short_rows)
        for block in rows.blocks(file):
            yield _parsed(block, dialect, rows.header, text)


def _header(file: TextIO, path: Path, dialect: CsvDialect) -> list[str]:
    """Names of the columns: the first line that is not blank."""
    line = next((line for line in file if not line.isspace()), None)
    if line is None:
        raise ValueError("it has no header")
    if (found := damage(line.rstrip("\n").encode())) is not None:
        raise DataError(f"{path}: the line of its header is damaged: {found[1]}; remove it")
    return split_line(line.rstrip("\n"), dialect.separator)


class _Rows:
    """The lines below a header, each made as wide as that.

    `header` gets a nameless column for each cell, of the first block's rows, that is beyond it and
    empty.
    """

    def __init__(
        self, path: Path, dialect: CsvDialect, header: Sequence[str], short_rows: bool
    ) -> None:
        self.header = list(header)
        self._path, self._separator = path, dialect.separator
        self._names, self._short_rows = tuple(header), short_rows
        self._row = 0
        self._beyond = 0

    def blocks(self, file: TextIO) -> Iterator[str]:
        """Yield texts of whole rows, the first one even where there is none."""
        lines = file.readlines(_BLOCK)
        first = self._block(lines)
        self.header += [""] * self._beyond
        surplus = self._separator * self._beyond
        yield first.replace("\n", f"{surplus}\n")
        while lines := file.readlines(_BLOCK):
            yield self._block(lines).replace("\n", f"{surplus}\n")

    def _block(self, lines: list[str]) -> str:
        separator, usual = self._separator, len(self._names) - 1
        longest, kept = csv.field_size_limit(), []
        for line in lines:
            if line.isspace():
                continue
            self._row += 1
            plain = '"' not in line and "\0" not in line and len(line) <= longest
            if plain and line.count(separator) == usual:
                kept.append(line)
            else:
                kept.append(self._mended(line.rstrip("\n")))
        if kept and not kept[-1].endswith("\n"):  # the last line of a file
            kept.append("\n")
        return "".join(kept).replace(f"\n{MARK}", "\n").removeprefix(MARK)

    def _mended(self, line: str) -> str:
        """A line whose cells pandas would read otherwise than a gateway, written as both read."""
        if (found := damage(line.encode())) is not None:
            raise self._error(f"{found[1]}; remove the row")
        try:
            cells = split_line(line, self._separator)
        except csv.Error as error:
            raise self._error(f"it cannot be cut into cells ({error}); correct it") from error
        if self._short_rows:
            cells += [""] * (len(self._names) - len(cells))
        row = fit_row(cells, self._names)
        if row is None:
            raise self._error(
                f"it has {len(cells)} cells, the header {len(self._names)}; expected as many, "
                f"and a cell in quotes ends in its line. Correct or remove it; {_BEFORE_HEADER}"
            )
        self._beyond = max(self._beyond, len(cells) - len(row))
        written = io.StringIO()
        csv.writer(written, delimiter=self._separator, lineterminator="\n").writerow(row)
        return written.getvalue()

    def _error(self, what: str) -> DataError:
        return DataError(f"{self._path}: data row {self._row}: {what}")


def _parsed(
    block: str, dialect: CsvDialect, header: list[str], text: Collection[str]
) -> pd.DataFrame:
    # By number: pandas would make names different.
    numbers = list(range(len(header)))
    names = pd.Index([name or f"{UNNAMED} {i}" for i, name in enumerate(header)])
    if not block:
        return pd.DataFrame(columns=names, index=pd.RangeIndex(0))
    frame = pd.read_csv(
        io.StringIO(block),
        header=None,
        names=numbers,
        dtype={i: "str" for i, name in enumerate(header) if name in text},
        index_col=False,
        sep=dialect.separator,
        decimal=dialect.decimal,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=sorted(MISSING),
        low_memory=False,
    )
    frame.columns = names
    return frame
