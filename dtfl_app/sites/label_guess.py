"""Which column of a file holds labels, and which of its values mean normal: guessed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dtfl_app.sites.cells import CellGrammar
from dtfl_app.sites.label_column import LabelColumn, plain

__all__ = ["LabelGuess", "guess_labels", "names_label"]

_NAMES = ("label", "flag", "attack", "anomal", "fault", "abnormal", "class", "outlier")
# Parts of them occur in names of sensors too.
_WHOLE_NAMES = {"target", "groundtruth", "changepoint", "y"}
# The first column so called is the label, whatever stands before it.
_FIRST = {"label", "labels", "attack", "anomaly", "normal/attack", "class"}
# Good and Bad of a sensor's reading.
_QUALITY = re.compile("quality|validity", re.IGNORECASE)
# It marks where a state begins, not how long it lasts.
_LAST = {"changepoint"}
_NORMAL = {
    "normal", "benign", "ok", "good", "healthy", "nominal", "regular", "clean", "safe", "natural",
    "noattack", "noanomaly", "nofault", "faultfree", "none", "noevent",
}  # fmt: skip
_ABNORMAL = ("attack", "anomal", "abnormal", "fault", "intrusion", "malicious", "leak", "failure")
_UNKNOWN = {"unknown", "unlabelled", "unlabeled", "unclear", "?", "-", "nodata", "badinput", "bad"}
# They say so only in a column that is called so.
_SHORT_NORMAL = {"n", "no", "neg", "negative"}
# What words of a file that has none may be in the next.
_USUAL_ABNORMAL = tuple(f"{word}*" for word in _ABNORMAL[:4])
_MOST_VALUES = 12
# attack1, attack2, ... are one.
_MOST_SPELLINGS = 100


@dataclass(frozen=True, slots=True)
class LabelGuess:
    """The columns of a file that look like labels.

    Parameters
    ----------
    taken : the label; None without one.
    also : each further one -> why it is neither label nor input.
    """

    taken: LabelColumn | None
    also: Mapping[str, str]

    @property
    def columns(self) -> set[str]:
        """Names of them all."""
        return {*self.also, *([self.taken.column] if self.taken else [])}


def names_label(column: str) -> bool:
    """Whether a column is called as labels are."""
    return any(word in column.lower() for word in _NAMES) or _bare(column) in _WHOLE_NAMES


def guess_labels(columns: Iterable[pd.Series[Any]], grammar: CellGrammar) -> LabelGuess:
    """Return which of a file's columns is the label, and which look like a second one."""
    found = [(c, labels) for c in columns if (labels := _guess(c, grammar)) is not None]
    found.sort(key=lambda one: _rank(one[1].column))
    if not found:
        return LabelGuess(None, {})
    taken = found[0][1]
    also = {
        labels.column: f"it looks like a second label beside {taken.column!r}, few values and "
        "most of them one; a label is no input, as it tells the answer"
        for column, labels in found[1:]
        if 2 * int(column.value_counts(dropna=False).iloc[0]) > len(column)
    }
    return LabelGuess(taken, also)


def _rank(column: str) -> int:
    bare = _bare(column)
    return 0 if bare in _FIRST else 2 if bare in _LAST else 1


def _bare(column: str) -> str:
    return re.sub(r"[\s_-]", "", column.casefold())


def _guess(column: pd.Series[Any], grammar: CellGrammar) -> LabelColumn | None:
    """What a column's values mean if it looks like labels; None where it does not.

    It must hold few different values, whole numbers or words, and be called as labels are or hold
    no word but those for normal and abnormal.
    """
    named = names_label(str(column.name))
    if not named and _QUALITY.search(str(column.name)):
        return None
    numeric = pd.api.types.is_numeric_dtype(column)
    if (numeric and not named) or not 0 < len(often := column.value_counts()) <= _MOST_SPELLINGS:
        return None
    words, values = Counter[str](), Counter[float]()
    for cell, count in zip(often.index, often, strict=True):
        number = float(cell) if numeric else grammar.read(str(cell))
        if number is None:
            words[str(cell)] += int(count)
        elif not math.isnan(number):
            values[number] += int(count)
    if not all(value.is_integer() for value in values):
        return None
    if words:
        return _of_words(str(column.name), words, values, named, bool(column.isna().any()))
    return (
        _of_numbers(str(column.name), values) if named and 0 < len(values) <= _MOST_VALUES else None
    )


def _of_numbers(name: str, values: Counter[float]) -> LabelColumn:
    """0 is normal; where there is none, the most common of several values if it is above 0."""
    normal = values.most_common(1)[0][0]
    if 0.0 not in values and len(values) > 1 and normal > 0:
        unknown = tuple(sorted(v for v in values if v < -1))
        rest = sorted(set(values) - {normal, *unknown})
        return LabelColumn(name, (normal,), tuple(rest), unknown)
    return LabelColumn(
        name,
        normal=(0.0,),
        abnormal=tuple(sorted(v for v in values if v > 0)) or (1.0,),
        unlabelled=tuple(sorted(v for v in values if v < 0)) or (-1.0,),
    )


def _of_words(
    name: str, often: Counter[str], values: Counter[float], named: bool, gaps: bool
) -> LabelColumn | None:
    alike = {plain(word): word.strip() for word in reversed(often)}
    normal = [word for word in alike if word in _NORMAL or (named and word in _SHORT_NORMAL)]
    unknown = [word for word in alike if word in _UNKNOWN]
    other = [word for word in alike if word not in normal and word not in unknown]
    if not named and (not normal or not all(map(_says_abnormal, other)) or values):
        return None
    numbers = _of_numbers(name, values) if values else LabelColumn(name, (), (), ())
    if named and not normal and not values:
        # A column that has words where something happened, and nothing elsewhere.
        if not gaps or not other:
            return None
        normal = [""]
    abnormal = _stems([alike[word] for word in sorted(other)])
    if len(abnormal) > _MOST_VALUES:
        return None
    return LabelColumn(
        name,
        (*numbers.normal, *(alike.get(word, "") for word in normal)),
        (*numbers.abnormal, *abnormal) or _USUAL_ABNORMAL,
        (*numbers.unlabelled, *(alike[word] for word in unknown)),
    )


def _says_abnormal(word: str) -> bool:
    return word.startswith(_ABNORMAL)


def _stems(words: list[str]) -> list[str]:
    """Words; those that differ in a number at their end as one with "*"."""
    stem = {word: re.sub(r"[\s_-]*\d+$", "", word) for word in words}
    often = Counter(stem.values())
    return list(dict.fromkeys(f"{s}*" if s and often[s] > 1 else word for word, s in stem.items()))
