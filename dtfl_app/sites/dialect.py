"""How a CSV file is written: the keys of a site schema that say so."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dtfl_app.sites.cells import CellGrammar

__all__ = ["CSV_KEYS", "CsvDialect", "dialect_table", "read_dialect"]

#: Keys at the top of a site schema.
CSV_KEYS = frozenset(
    {
        "separator",
        "decimal",
        "thousands",
        "missing",
        "states",
        "encoding",
        "header-row",
        "skip-rows",
    }
)
_ASCII = bytes(range(128))
_WIDE = {"utf-16", "utf-16-le", "utf-16-be"}


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How a CSV file is written; of Parquet only the words in its cells.

    Parameters
    ----------
    separator : one character between two cells.
    decimal : the character before a number's decimals.
    thousands : the character between groups of three digits; "" = none.
    missing : words that mean "no reading", on top of the usual ones.
    states : words that stand for numbers, such as OFF for 0.
    encoding : of its text, as Python calls it; one in which ASCII is as in ASCII, or UTF-16.
    header_row : lines before the header, >= 0.
    skip_rows : lines between the header and the first row of readings, >= 0.
    """

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    missing: tuple[str, ...] = ()
    states: Mapping[str, float] = field(default_factory=dict)
    encoding: str = "utf-8"
    header_row: int = 0
    skip_rows: int = 0

    @property
    def wide(self) -> bool:
        """Whether its text is in UTF-16."""
        return codecs.lookup(self.encoding).name in _WIDE

    @property
    def line_encoding(self) -> str:
        """Encoding of its lines as `detection.lines` hands them on."""
        return "utf-8" if self.wide else self.encoding

    @property
    def first_line_encoding(self) -> str:
        """Encoding of the first of them, which may have a byte-order mark."""
        narrow = codecs.lookup(self.line_encoding).name
        return "utf-8-sig" if narrow == "utf-8" else self.line_encoding

    def codec(self, beginning: bytes) -> str:
        """Encoding of a whole file whose first two bytes, if it has any, are these.

        In UTF-16 they may be a byte-order mark, which is then the first character.
        """
        if codecs.lookup(self.encoding).name == "utf-16":
            return "utf-16-be" if beginning == codecs.BOM_UTF16_BE else "utf-16-le"
        return self.encoding if self.wide else self.first_line_encoding

    @property
    def grammar(self) -> CellGrammar:
        """What its cells mean."""
        return CellGrammar(self.decimal, self.thousands, self.missing, self.states)


def dialect_table(dialect: CsvDialect) -> dict[str, object]:
    """Return the keys that `read_dialect` reads; those that nobody set are left out."""
    usual: dict[str, object] = {"separator": dialect.separator, "decimal": dialect.decimal}
    extra: dict[str, object] = {
        "thousands": dialect.thousands,
        "missing": list(dialect.missing),
        "states": dict(dialect.states),
        "encoding": dialect.encoding if dialect.encoding != "utf-8" else "",
        "header-row": dialect.header_row,
        "skip-rows": dialect.skip_rows,
    }
    return usual | {key: value for key, value in extra.items() if value}


def read_dialect(root: Mapping[str, Any], refuse: Callable[[str], NoReturn]) -> CsvDialect:
    """Take the dialect out of a site schema's top; `refuse` raises what is wrong."""
    found = CsvDialect(
        _mark(root, "separator", ",", refuse),
        _mark(root, "decimal", ".", refuse),
        _mark(root, "thousands", "", refuse),
        _missing(root, refuse),
        _states(root, refuse),
        _encoding(root, refuse),
        _count(root, "header-row", refuse),
        _count(root, "skip-rows", refuse),
    )
    if found.thousands == found.decimal:
        refuse(f"thousands and decimal are both {found.decimal!r}; expected two that differ")
    both = {word.casefold() for word in found.missing} & {w.casefold() for w in found.states}
    if both:
        refuse(f"{sorted(both)} stand in missing and in states; expected each word in one")
    return found


def _mark(
    root: Mapping[str, Any], key: str, default: str, refuse: Callable[[str], NoReturn]
) -> str:
    value = root.get(key, default)
    if not isinstance(value, str) or (value != default and len(value) != 1):
        refuse(f'{key} = {value!r}; expected one character, e.g. {key} = ","')
    return value


def _encoding(root: Mapping[str, Any], refuse: Callable[[str], NoReturn]) -> str:
    value = root.get("encoding", "utf-8")
    try:
        wide = codecs.lookup(value).name in _WIDE
        known = wide or _ASCII.decode(value) == _ASCII.decode("ascii")
    except (LookupError, TypeError, UnicodeDecodeError):
        known = False
    if not known:
        refuse(
            f'encoding = {value!r}; expected one such as "utf-8", "cp1252", "latin-1" or "utf-16"'
        )
    return str(value)


def _count(root: Mapping[str, Any], key: str, refuse: Callable[[str], NoReturn]) -> int:
    value = root.get(key, 0)
    if isinstance(value, bool) or value not in range(1000):
        refuse(f"{key} = {value!r}; expected a number of lines, e.g. {key} = 2")
    return int(value)


def _missing(root: Mapping[str, Any], refuse: Callable[[str], NoReturn]) -> tuple[str, ...]:
    value = root.get("missing", [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        refuse(f'missing = {value!r}; expected words, e.g. missing = ["Bad Input", "-999"]')
    return tuple(value)


def _states(root: Mapping[str, Any], refuse: Callable[[str], NoReturn]) -> dict[str, float]:
    value = root.get("states", {})
    sound = isinstance(value, dict) and all(
        isinstance(number, int | float) and not isinstance(number, bool)
        for number in value.values()
    )
    if not sound:
        refuse(f"states = {value!r}; expected numbers, e.g. states = {{ OFF = 0, ON = 1 }}")
    plain = CellGrammar(root.get("decimal", "."), root.get("thousands", ""))
    if numbers := [word for word in value if plain.is_number(word)]:
        refuse(f"states: {numbers} are numbers already; expected words, e.g. OFF = 0")
    if len({word.strip().casefold() for word in value}) < len(value):
        refuse(f"states: {sorted(value)} has a word twice, small and capital letters being alike")
    return {word: float(number) for word, number in value.items()}
