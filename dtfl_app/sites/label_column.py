"""The column of a site's file that holds its labels, and what its values mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

from dtfl_app.sites.cells import MISSING, CellGrammar
from twin.schema import ABNORMAL, NORMAL, UNLABELLED

__all__ = ["LABEL_KEYS", "LabelColumn", "LabelReader", "label_table", "plain", "read_label_column"]

_LISTS: Mapping[str, int] = {"normal": NORMAL, "abnormal": ABNORMAL, "unlabelled": UNLABELLED}
#: Keys of the table [labels] of such a column.
LABEL_KEYS = frozenset({"column", *_LISTS})
_PLAIN = CellGrammar()


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """Labels stand in a column of the site's file.

    Parameters
    ----------
    column : its name.
    normal, abnormal, unlabelled : the numbers and words that mean so. Small and capital letters are
        alike, spaces do not count, "*" stands for any letters. An empty cell is unlabelled, unless
        "" or another word for it ("None", "NaN") is in one of the lists.
    """

    column: str
    normal: tuple[float | str, ...] = (0.0,)
    abnormal: tuple[float | str, ...] = (1.0,)
    unlabelled: tuple[float | str, ...] = (-1.0,)

    @property
    def meanings(self) -> list[tuple[float | str, int]]:
        """Every value with the label that it means, as in ``twin.schema``."""
        lists = zip(_LISTS.values(), (self.normal, self.abnormal, self.unlabelled), strict=True)
        return [(value, label) for label, values in lists for value in values]


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Reads the cells of a label column.

    Parameters
    ----------
    labels : what its values mean.
    grammar : how the numbers of the file are written; its words for states and for missing readings
        count here too.
    """

    labels: LabelColumn
    grammar: CellGrammar
    _numbers: Mapping[float, int] = field(init=False, repr=False, compare=False)
    _words: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _patterns: list[tuple[re.Pattern[str], int]] = field(init=False, repr=False, compare=False)
    _empty: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        meanings = self.labels.meanings
        words = [(v, label) for v, label in meanings if isinstance(v, str)]
        empty = [label for word, label in words if word.strip() in MISSING]
        # Of several that fit, the one that says most.
        longest = sorted(((w, la) for w, la in words if "*" in w), key=lambda one: -len(one[0]))
        numbers = {v: label for v, label in meanings if not isinstance(v, str)}
        object.__setattr__(self, "_numbers", numbers)
        object.__setattr__(self, "_words", {plain(word): label for word, label in words})
        object.__setattr__(self, "_patterns", [(_pattern(w), label) for w, label in longest])
        object.__setattr__(self, "_empty", empty[0] if empty else UNLABELLED)

    def read(self, cell: object) -> int | None:
        """Return what a text or number means, as in ``twin.schema``; None if it is in no list."""
        word, number = plain(str(cell)), self._number(cell)
        if word and word in self._words:
            return self._words[word]
        if number is not None and math.isnan(number):
            return self._empty
        if number is not None:
            if number in self._numbers:
                return self._numbers[number]
            word = f"{number:g}"
        return next((label for form, label in self._patterns if form.fullmatch(word)), None)

    def _number(self, cell: object) -> float | None:
        """A cell of CSV is a text, one of Parquet may be a number of any kind."""
        if isinstance(cell, Real | Decimal) and not isinstance(cell, bool):
            return self.grammar.kept(float(cell))
        return self.grammar.read(str(cell))


def plain(word: str) -> str:
    """Return a word as it is compared: "A ttack" and "attack" are one."""
    return "".join(word.split()).casefold()


def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in plain(word).split("*")), re.DOTALL)


def label_table(labels: LabelColumn) -> dict[str, object]:
    """Return the table that `read_label_column` reads."""
    lists = {key: list(getattr(labels, key)) for key in _LISTS}
    return {"column": labels.column, **lists}


def read_label_column(
    table: Mapping[str, Any], column: str, refuse: Callable[[str], NoReturn]
) -> LabelColumn:
    """Take the values of the label `column` out of [labels]; `refuse` raises what is wrong."""
    usual = LabelColumn(column)
    found = LabelColumn(
        column, *(_values(table, key, getattr(usual, key), refuse) for key in _LISTS)
    )
    listed = [plain(v) if isinstance(v, str) else v for v, _ in found.meanings]
    if twice := {value for value in listed if listed.count(value) > 1}:
        refuse(
            f"[labels]: {sorted(twice, key=str)} stand in two lists, or twice in one; expected "
            "each value once (small and capital letters are alike, and spaces do not count)"
        )
    empty = {label for v, label in found.meanings if isinstance(v, str) and v.strip() in MISSING}
    if len(empty) > 1:
        refuse('[labels]: words for an empty cell ("", "None", "NaN", ...) stand in two lists')
    return found


def _values(
    table: Mapping[str, Any],
    key: str,
    default: tuple[float | str, ...],
    refuse: Callable[[str], NoReturn],
) -> tuple[float | str, ...]:
    value = table.get(key, list(default))
    sound = isinstance(value, list) and all(
        isinstance(v, int | float | str) and not isinstance(v, bool) for v in value
    )
    if not sound:
        refuse(
            f"[labels]: {key} = {value!r}; expected numbers and words, e.g. {key} = [0] or "
            f'{key} = ["attack*"]'
        )
    return tuple(_value(v) for v in value)


def _value(value: float | str) -> float | str:
    """A number in quotes is that number."""
    text = str(value).strip()
    return float(text) if _PLAIN.is_number(text) else text
