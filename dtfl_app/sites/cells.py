"""The grammar of a site's cells: what is a number, what a time, what a missing reading.

Training reads whole columns and a gateway single cells; both ask here.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NoReturn

__all__ = [
    "EPOCHS",
    "EPOCH_DAYS",
    "ISO8601",
    "MARK",
    "MISSING",
    "CellGrammar",
    "fitting_format",
    "parse_time",
    "repeated_columns",
    "require_format",
    "split_line",
]

#: What writers of CSV put for "no reading"; pandas' own list.
MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
#: What a byte-order mark is in a text.
MARK = "\ufeff"
#: Name of the form of times that need no directives.
ISO8601 = "ISO8601"
#: Time unit of a site schema -> the form of times that are numbers, and how many ns are in one.
EPOCHS: Mapping[str, tuple[str, int]] = {
    "s": ("seconds since 1970", 10**9),
    "ms": ("milliseconds since 1970", 10**6),
    "us": ("microseconds since 1970", 10**3),
    "ns": ("nanoseconds since 1970", 1),
    "excel-days": ("days since 1899-12-30, as spreadsheets count", 86_400 * 10**9),
}
_EPOCH_FORMS = dict(EPOCHS.values())
#: The form of times that count from another day than the first of 1970 -> days from that to 1970.
EPOCH_DAYS = {EPOCHS["excel-days"][0]: 25_569}
_EPOCH_NUMBER = re.compile(r"(?P<whole>-?[0-9]{1,19})(?:[.,](?P<fraction>[0-9]*))?")
# What writers of CSV put for a truth value.
_TRUTH = {"true": 1.0, "false": 0.0}
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)"
)
# Number and unit, as screens show them.
_WITH_UNIT = re.compile(r"(?P<number>[+-]?[0-9][0-9.,]*)\s*(?P<unit>[^\W\d_][\w/³²]*|%|°\w*)")
# Signs of a negative number: the one of keyboards, and the one of typesetting.
_MINUS = "\u2212"
# A space between thousands may be one that does not break a line.
_SPACES = " \u00a0\u202f"

_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
# What 64 bits hold of ns since 1970.
_FIRST, _LAST = -(2**63) + 1, 2**63 - 1
_ZONE = r"(?P<zone>[Zz]|[+-][0-9]{1,2}(?::?[0-9]{2})?)"
_ISO = re.compile(
    r"(?:(?P<year>[0-9]{4})"
    r"(?:(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"|(?P<mark>[-/. ])(?P<month_>[0-9]{1,2})(?P=mark)(?P<day_>[0-9]{1,2}))"
    r"(?:(?:[Tt]|[ ]+)(?P<hour>[0-9]{1,2})"
    r"(?:(?::?(?P<minute>[0-9]{2})|:(?P<minute_>[0-9]))"
    r"(?:(?::?(?P<second>[0-9]{2})|:(?P<second_>[0-9]))(?:[.,](?P<fraction>[0-9]*))?)?)?"
    rf"\s*{_ZONE}?)?"
    r"|(?P<year_>[0-9]{4})(?:[-/. ](?P<month__>[0-9]{1,2}))?)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_DIRECTIVES: Mapping[str, str] = {
    "Y": r"(?P<year>[0-9]{4})",
    "y": r"(?P<short_year>[0-9]{2})",
    "m": r"(?P<month>[0-9]{1,2})",
    "b": rf"(?P<month_name>{'|'.join(_MONTHS)})",
    "B": rf"(?P<month_name>{'|'.join(_LONG_MONTHS)})",
    "d": r"(?P<day>[0-9]{1,2}|\ [0-9])",
    "H": r"(?P<hour>[0-9]{1,2})",
    "I": r"(?P<half_hour>[0-9]{1,2})",
    "p": r"(?P<half>am|pm|a\.m\.|p\.m\.)",
    "M": r"(?P<minute>[0-9]{1,2})",
    "S": r"(?P<second>[0-9]{1,2})",
    "f": r"(?P<fraction>[0-9]{1,9})",
    "z": _ZONE,
    "Z": r"(?:utc|gmt)",
    "a": rf"(?:{'|'.join(day[:3] for day in _DAYS.split('|'))})",
    "A": rf"(?:{_DAYS})",
    "%": "%",
}


@dataclass(frozen=True, slots=True)
class CellGrammar:
    """How the numbers of a file are written.

    Parameters
    ----------
    decimal : the character before a number's decimals.
    thousands : the character between groups of three digits; "" = none.
    missing : words that mean "no reading", on top of `MISSING`, in any case; a number among them
        means so by its value, however it is written.
    states : words that stand for numbers, in any case.
    """

    decimal: str = "."
    thousands: str = ""
    missing: Sequence[str] = ()
    states: Mapping[str, float] = field(default_factory=dict)
    _words: Mapping[str, float] = field(init=False, repr=False, compare=False)
    _codes: frozenset[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = _TRUTH | {word.strip().casefold(): value for word, value in self.states.items()}
        codes = set()
        for word in self.missing:
            number = self._number(word.strip())
            if number is None:
                words[word.strip().casefold()] = math.nan
            else:
                codes.add(number)
        object.__setattr__(self, "_words", words)
        object.__setattr__(self, "_codes", frozenset(codes))

    def read(self, cell: str) -> float | None:
        """Return a cell's number, NaN where it says that there is none, None where it is neither.

        Spaces around it do not count.
        """
        text = cell.strip()
        if text in MISSING:
            return math.nan
        number = self._number(text)
        if number is None:
            return self._words.get(text.casefold())
        return self.kept(number)

    def kept(self, number: float) -> float:
        """Return a number that a file holds as such; NaN if it is one that means "no reading"."""
        return math.nan if number in self._codes else number

    def is_number(self, cell: str) -> bool:
        """Whether a cell is written as a number, whatever that means."""
        return self._number(cell.strip()) is not None

    @property
    def codes(self) -> frozenset[float]:
        """Numbers that mean "no reading"."""
        return self._codes

    def advice(self, cell: str) -> str:
        """Say what a cell that cannot be read has, and what to do about it."""
        text = cell.strip()
        other = "." if self.decimal == "," else ","
        if text.count(other) == 1 and CellGrammar(other).is_number(text):
            return (
                f"it has {other!r} where the schema says decimal = {self.decimal!r}; write all "
                "numbers alike, or correct decimal or thousands in the schema"
            )
        for mark in (",", ".", "'", " "):
            if mark != self.decimal and CellGrammar(self.decimal, mark).is_number(text):
                return (
                    f'it has {mark!r} between thousands; say so in the schema: thousands = "{mark}"'
                )
        shown = _WITH_UNIT.fullmatch(text)
        if shown is not None and self.is_number(shown["number"]):
            return f"it has the unit {shown['unit']!r} behind its number; export numbers alone"
        return (
            "correct it, or leave it empty if the reading is missing; a word for that goes into "
            f'the schema as missing = ["{text}"], a word for a state as states = {{ "{text}" = 1 }}'
        )

    def _number(self, text: str) -> float | None:
        if text[:1] == _MINUS:
            text = f"-{text[1:]}"
        if self.thousands:
            text = self._ungrouped(text)
        if self.decimal != ".":
            if "." in text:
                return None
            text = text.replace(self.decimal, ".")
        return float(text) if _NUMBER.fullmatch(text) else None

    def _ungrouped(self, text: str) -> str:
        """Take the marks between thousands off; a number whose groups are none stays as it is."""
        marks = _SPACES if self.thousands in _SPACES else self.thousands
        whole, dot, rest = text.partition(self.decimal)
        grouped = re.fullmatch(rf"[+-]?[0-9]{{1,3}}(?:[{re.escape(marks)}][0-9]{{3}})+", whole)
        return re.sub(f"[{re.escape(marks)}]", "", whole) + dot + rest if grouped else text


def parse_time(text: str, form: str) -> int | None:
    """Return a time in ns since 1970, of UTC where it states a zone; None where it does not fit.

    `form` is "ISO8601", a format with the directives of ``strptime``, or one of `EPOCHS`. 24:00 is
    the next day's 0:00, digits beyond the ninth of a second do not count, and a time before 1678 or
    after 2261 fits nothing.
    """
    if form in _EPOCH_FORMS:
        return _counted(text.strip(), _EPOCH_FORMS[form], EPOCH_DAYS.get(form, 0))
    found = _pattern(form).fullmatch(text.strip())
    if found is None:
        return None
    parts = {name.rstrip("_"): value for name, value in found.groupdict().items() if value}
    try:
        whole = (_moment(parts) - _EPOCH) // _SECOND
    except (ValueError, OverflowError):
        return None
    ns = whole * 10**9 + int(parts.get("fraction", "")[:9].ljust(9, "0"))
    return ns if _FIRST <= ns <= _LAST else None


def _counted(text: str, unit: int, days: int) -> int | None:
    """The time that is so many units after 1970, less those days; to the ms where there are any."""
    found = _EPOCH_NUMBER.fullmatch(text)
    if found is None:
        return None
    whole, fraction = int(found["whole"]) * unit, (found["fraction"] or "")[:18]
    part = int(fraction or 0) * unit // 10 ** len(fraction)
    ns = whole - part if text[0] == "-" else whole + part
    if days:
        # Decimals of a day are no whole seconds.
        ns = (ns + 500_000) // 10**6 * 10**6 - days * 86_400 * 10**9
    return ns if _FIRST <= ns <= _LAST else None


def require_format(form: str) -> None:
    """Raise ValueError, with what was expected, unless `form` is one that `parse_time` takes."""
    if form != ISO8601 and "%" not in form:
        raise ValueError(
            f'{form!r} has no directive; expected "{ISO8601}" or one such as "%d/%m/%Y %H:%M"'
        )
    try:
        _pattern(form)
    except re.error as error:
        raise ValueError(
            f"{form!r} has a directive twice, or two for one thing ({error})"
        ) from None


def fitting_format(text: str, formats: Iterable[str]) -> str | None:
    """Return the first format that a time fits; None where it fits none."""
    return next((form for form in formats if parse_time(text, form) is not None), None)


def split_line(line: str, separator: str = ",") -> list[str]:
    """Split a line of a CSV file into cells without the spaces around them.

    A byte-order mark before it, as joined files have within, does not count.
    """
    cells = next(
        csv.reader([line.removeprefix(MARK)], delimiter=separator, skipinitialspace=True), []
    )
    return [cell.strip() for cell in cells]


def repeated_columns(names: Sequence[str]) -> str:
    """Say which columns of a header have one name, and where; "" where all differ."""
    often = Counter(names)
    for name in names:
        if name and often[name] > 1:
            places = [place for place, other in enumerate(names, 1) if other == name]
            return (
                f"columns {' and '.join(map(str, places))} are both called {name!r}; expected "
                "every name once, or nobody knows which is meant. Rename all but one"
            )
    return ""


@lru_cache
def _pattern(form: str) -> re.Pattern[str]:
    """What times of a format look like; ValueError where it has a directive that is unknown."""
    if form == ISO8601:
        return _ISO
    parts = re.findall(r"%.?|\s+|[^%\s]+", form)
    return re.compile("".join(_part(part) for part in parts), re.IGNORECASE)


def _part(part: str) -> str:
    if part[0] == "%":
        return _DIRECTIVES.get(part[1:]) or _unknown(part)
    return r"\s+" if part.isspace() else re.escape(part)


def _unknown(part: str) -> NoReturn:
    known = " ".join(f"%{letter}" for letter in _DIRECTIVES)
    raise ValueError(f"{part!r} is no directive that is known; expected some of {known}")


def _moment(parts: Mapping[str, str]) -> datetime:
    """The time without its fraction, in UTC where it states a zone; ValueError where it is none."""
    hour = _hour(parts)
    minute, second = int(parts.get("minute", 0)), int(parts.get("second", 0))
    midnight = hour == 24 and minute == second == 0 and not int(parts.get("fraction", "") or 0)
    moment = datetime(
        _year(parts),
        _month(parts),
        int(parts.get("day", 1)),
        0 if midnight else hour,
        minute,
        second,
    )
    return moment + timedelta(days=midnight) - _offset(parts.get("zone", ""))


def _year(parts: Mapping[str, str]) -> int:
    if "short_year" in parts:  # POSIX' century
        short = int(parts["short_year"])
        return short + (2000 if short < 69 else 1900)
    return int(parts.get("year", 1900))


def _month(parts: Mapping[str, str]) -> int:
    if "month_name" in parts:
        return _MONTHS.index(parts["month_name"][:3].lower()) + 1
    return int(parts.get("month", 1))


def _hour(parts: Mapping[str, str]) -> int:
    if "half_hour" not in parts:
        return int(parts.get("hour", 0))
    hour = int(parts["half_hour"])
    if not 1 <= hour <= 12:
        raise ValueError(f"{hour} is no hour of half a day")
    return hour % 12 + (12 if parts.get("half", "a")[0] in "pP" else 0)


def _offset(zone: str) -> timedelta:
    if zone in {"", "Z", "z"}:
        return timedelta()
    digits = zone[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f"{zone} is no zone")
    size = timedelta(hours=int(hours), minutes=int(minutes))
    return size if zone[0] == "+" else -size
