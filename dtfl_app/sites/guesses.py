"""How a file is written, guessed from its text: separator, marks in numbers, words for states."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import SchemaError
from dtfl_app.sites.cells import MARK, repeated_columns, split_line
from dtfl_app.sites.columns import read_numbers
from dtfl_app.sites.dialect import CsvDialect

__all__ = ["guess_dialect", "guess_words", "names_sensors", "require_wide", "why_no_channel"]

# Two words for off and on; true and false are numbers everywhere.
_STATES = (
    ("OFF", "ON"),
    ("CLOSED", "OPEN"),
    ("CLOSE", "OPEN"),
    ("STOPPED", "RUNNING"),
    ("STOP", "RUN"),
    ("STANDBY", "RUNNING"),
    ("NO", "YES"),
    ("INACTIVE", "ACTIVE"),
    ("AUS", "EIN"),
)
_SEPARATORS = (",", ";", "\t", "|")
_FEW_ROWS = 50
_BLOCK = 2**20
_BEGINNING = 1000
_MOST_SKIPPED = 5
_SENSOR_WORDS = {
    "sensor", "tag", "tagname", "series", "channel", "point", "signal", "variable", "parameter",
    "metric",
}  # fmt: skip
_ROW_WORDS = {
    "", "row", "rows", "rownumber", "rownum", "index", "idx", "id", "no", "nr", "number", "line",
    "record", "recordid", "recordnumber", "sample", "sampleno", "seq", "sequence", "lfdnr", "count",
}  # fmt: skip
# What historians and spreadsheets write for no reading, be it once only.
_ABSENT = {
    "nan", "null", "no data", "nodata", "bad", "bad input", "bad data", "bad quality", "pt created",
    "shutdown",
    "i/o timeout", "comm fail", "configure", "no sample", "no result", "not connect", "scan off",
    "scan timeout", "intf shut", "equip fail", "over range", "under range", "calc failed",
    "arc off-line", "out of serv", "error", "invalid", "-", "--", "---", "#ref!", "#value!",
    "#div/0!", "#num!", "#name?", "#null!", "#####",
}  # fmt: skip
# More different words than these are texts, not marks of a missing reading.
_MOST_WORDS = 5
_LONGEST_SHOWN = 40


def guess_dialect(path: Path) -> CsvDialect:
    """Guess how a CSV file is written from its text: encoding, what is before the rows, marks."""
    plain = CsvDialect(encoding=_encoding(path))
    with path.open("rb") as raw:
        codec = plain.codec(raw.read(2))
    with path.open(encoding=codec, errors="replace", newline="") as file:
        lines = [line.removeprefix(MARK) for line in islice(file, _FEW_ROWS)]
    before = _before_header(lines)
    marks = replace(_marks(lines[before:]), encoding=plain.encoding, header_row=before)
    return replace(marks, skip_rows=_after_header(lines[before + 1 :], marks))


def _encoding(path: Path) -> str:
    """UTF-8 if the whole text is; UTF-16 if it begins so; else what Windows writes in the west."""
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
        if beginning[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            return "utf-16"
        # Every other byte of plain text is zero.
        for encoding, zeros in (("utf-16-be", beginning[::2]), ("utf-16-le", beginning[1::2])):
            if 2 * zeros.count(0) > len(zeros):
                return encoding
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(_BLOCK):
                decoder.decode(block)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _before_header(lines: Sequence[str]) -> int:
    """Lines of one cell, of groups, or that begin with "#", before one as wide as most; else 0."""
    found = []
    for separator in _SEPARATORS:
        widths = [_width(line, separator) for line in lines]
        wide = Counter(width for width in widths if width > 1).most_common(1)
        if wide:
            start = _header_place(lines, widths, wide[0][0], separator)
            if all(
                widths[place] <= 1
                or widths[place] > wide[0][0] + 1
                or lines[place].startswith("#")
                or _is_groups(lines[place:], separator)
                for place in range(start)
            ):
                found.append(start)
    return min(found, default=0)


def _header_place(lines: Sequence[str], widths: list[int], wide: int, separator: str) -> int:
    """The first line as wide as most, or wider by a cell that most rows leave empty."""
    fitting = [place for place, width in enumerate(widths) if width in (wide, wide + 1)]
    start = fitting[0]
    if lines[start].startswith("#"):
        # Remarks as wide as the rows, if a header comes behind them.
        later = next((place for place in fitting if not lines[place].startswith("#")), start)
        if not any(map(_is_figure, split_line(lines[later], separator))):
            start = later
    return start + _is_groups(lines[start:], separator)


def _is_groups(lines: Sequence[str], separator: str) -> bool:
    """Whether the first line names groups of columns (P1, P1, P2) and the second the columns."""
    groups, names = (split_line(line, separator) for line in [*lines, "", ""][:2])
    again = repeated_columns(groups) and not repeated_columns(names)
    return bool(again) and len(names) >= len(groups) and not any(map(_is_figure, names))


def _is_figure(cell: str) -> bool:
    return bool(re.match(r"[+-]?[.,]?\d", cell))


def _width(line: str, separator: str) -> int:
    """Cells of a line; a separator may end rows and not their header."""
    cells = split_line(line, separator)
    return len(cells) - (len(cells) > 1 and not cells[-1])


def _after_header(lines: Sequence[str], dialect: CsvDialect) -> int:
    """Lines without a digit that begins a cell, such as units, before one that has some."""
    for place, line in enumerate(lines[:_MOST_SKIPPED]):
        if any(re.match(r"[+-]?\d", cell) for cell in split_line(line, dialect.separator)):
            return place
    return 0


def _marks(lines: Sequence[str]) -> CsvDialect:
    """Guess separator, decimal and thousands from a header and the first rows below it."""
    separator = max(_SEPARATORS, key="".join(lines[:1]).count)
    text = "".join(lines[1:])
    cells = [cell for line in lines[1:] for cell in split_line(line, separator)]
    inside = rf"(?:^|[{separator}\"])\s*[+-]?\d{{1,3}}"
    if re.search(rf"{inside}(?:,\d{{3}})+\.\d", text, re.M):
        return CsvDialect(separator, ".", ",")
    comma = _decimal_commas(cells, quoted=separator == ",")
    decimal = "," if comma else "."
    if comma and re.search(rf"{inside}(?:\.\d{{3}})+,\d", text, re.M):
        return CsvDialect(separator, ",", ".")
    for mark, written in ((" ", "[ \u00a0\u202f]"), ("'", "'")):
        if re.search(rf"{inside}(?:{written}\d{{3}})+(?:[{decimal}{separator}\"]|$)", text, re.M):
            return CsvDialect(separator, decimal, mark)
    return CsvDialect(separator, decimal)


def _decimal_commas(cells: Sequence[str], *, quoted: bool) -> bool:
    """Whether more numbers have a comma before their decimals than a point.

    Where commas separate cells, too, three digits behind one of a quoted number may be thousands.
    """
    commas = [cell for cell in cells if re.fullmatch(r"[+-]?[\d.'\s]*,\d+", cell)]
    points = sum(bool(re.fullmatch(r"[+-]?[\d,'\s]*\.\d+", cell)) for cell in cells)
    sure = not quoted or any(re.search(r"(^[+-]?0|,\d{1,2}$|,\d{4,}$)", cell) for cell in commas)
    return sure and len(commas) > points


def guess_words(columns: Iterable[pd.Series[Any]], dialect: CsvDialect) -> CsvDialect:
    """Add what words in otherwise numbered columns mean: states, or that there is no reading."""
    found = [words for column in columns if (words := _words(column, dialect)) is not None]
    states = {word: value for of_column, _ in found for word, value in of_column.items()}
    known = {word.casefold() for word in states}
    # Small and capital letters are alike: one spelling of each word is enough.
    states = {word: states[word] for word in {w.casefold(): w for w in states}.values()}
    absent = {word.casefold(): word for _, of_column in found for word in of_column}
    missing = [word for plain, word in absent.items() if plain not in known]
    return replace(dialect, states=states, missing=tuple(missing))


def _words(
    column: pd.Series[Any], dialect: CsvDialect
) -> tuple[dict[str, float], list[str]] | None:
    """A column's states and its words for "no reading"; None where there are none to guess."""
    numbers, bad = read_numbers(column, dialect.grammar)
    often = Counter(str(cell).strip() for cell in column.iloc[bad])
    if not often:
        return None
    values = frozenset(numbers[~np.isnan(numbers)].tolist())
    states = _state_words(often) if values <= {0.0, 1.0} else {}
    rest = [word for word in often if word not in states]
    read = int((~np.isnan(numbers)).sum()) + sum(often[word] for word in states)
    sound = all(
        word.casefold() in _ABSENT or (often[word] > 1 and not re.search(r"\d", word))
        for word in rest
    )
    if not sound or len(rest) > _MOST_WORDS or 2 * read <= read + sum(often[w] for w in rest):
        return None
    return states, rest


def _state_words(often: Counter[str]) -> dict[str, float]:
    """Words of the pair that most of the cells are of, in the file's own letters."""
    pairs = [
        {word: float(pair.index(word.upper())) for word in often if word.upper() in pair}
        for pair in _STATES
    ]
    return max(pairs, key=lambda found: (len(found), sum(often[word] for word in found)))


def names_sensors(column: str) -> bool:
    """Whether a column is called as one that names the sensor of each row."""
    return re.sub(r"[\s_-]|(name|id)$", "", column.casefold()) in _SENSOR_WORDS


def require_wide(frame: pd.DataFrame, values: Collection[str], path: Path) -> None:
    """Raise SchemaError where one column of values holds several sensors, named in another one."""
    if len(values) != 1:
        return
    for column in frame.columns:
        if not names_sensors(str(column)) or pd.api.types.is_numeric_dtype(frame[column]):
            continue
        often = frame[column].value_counts()
        if len(often) > 1 and int(often.min()) > 1:
            shown = ", ".join(map(str, often.index[:_MOST_WORDS]))
            raise SchemaError(
                f"{path}: column {column!r} names {len(often)} sensors ({shown}), whose readings "
                f"stand below one another in {next(iter(values))!r}; expected a column for each. "
                "Export it so, or turn it with pandas: pivot_table(index=TIME, "
                f"columns={column!r}, values={next(iter(values))!r})"
            )


def why_no_channel(column: pd.Series[Any], dialect: CsvDialect) -> str:
    """Say why a column cannot be a channel as it is; "" where it can."""
    numbers, bad = read_numbers(column, dialect.grammar)
    if _tells_quality(column):
        return (
            "it tells how good readings are, which is not read; have the export leave those empty "
            "that are not good"
        )
    if bad.size:
        # It goes into a comment of one line.
        cell = "".join(c if c.isprintable() else "?" for c in str(column.iloc[int(bad[0])]))
        cell = cell.strip()[:_LONGEST_SHOWN]
        return (
            f"{bad.size} of {len(column)} cells are not numbers, first {cell!r} in data row "
            f"{int(bad[0]) + 1}; {dialect.grammar.advice(cell)}"
        )
    readings = numbers[np.isfinite(numbers)]
    if not readings.size:
        return "it holds no reading"
    if _counts_rows(str(column.name), numbers):
        return "it counts the rows"
    if (mixed := _mixed(column, dialect)) is not None:
        return (
            f"data row {mixed + 1} has {str(column.iloc[mixed])!r}, which stands for a number in "
            "other columns, and the rest are readings; give the word another spelling there"
        )
    return ""


def _tells_quality(column: pd.Series[Any]) -> bool:
    """Whether a column of few values is called as an OPC quality is."""
    called = re.search(
        r"(quality|validity)(code|status)?$", re.sub(r"[\W_]", "", str(column.name)), re.I
    )
    return called is not None and column.nunique() <= _MOST_WORDS


def _counts_rows(name: str, numbers: NDArray[np.float64]) -> bool:
    """Whether a column called so goes up by one, from the first anew where files are joined."""
    up, anew = np.diff(numbers) == 1.0, numbers[1:] == numbers[:1]
    called = re.sub(r"[\W_]", "", name.casefold()) in _ROW_WORDS
    return bool(called and numbers.size > 2 and (up | anew).all() and 2 * up.sum() > up.size)


def _mixed(column: pd.Series[Any], dialect: CsvDialect) -> int | None:
    """The first state among readings other than states; None without one."""
    if pd.api.types.is_numeric_dtype(column):
        return None
    numbers, states = read_numbers(column, replace(dialect, states={}).grammar)
    readings = set(numbers[~np.isnan(numbers)].tolist())
    return int(states[0]) if states.size and not readings <= {0.0, 1.0} else None
