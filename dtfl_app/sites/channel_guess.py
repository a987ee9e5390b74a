"""What the columns of a file are as channels, guessed: name, unit, kind and possible range."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from twin.schema import EVENT, INSTANCE, LABEL, TIME, Channel, ChannelKind

__all__ = ["channel_names", "guess_channel", "remark"]

_KIND_WORDS: dict[ChannelKind, tuple[str, ...]] = {
    "level": ("level", "tank"),
    "flow": ("flow", "discharge"),
    "pressure": ("pressure", "bar", "psi"),
    "temperature": ("temp", "°c", "degc"),
}
# They go below 0 only where one has been seen to.
_NOT_NEGATIVE = ("level", "flow", "pressure")


def channel_names(columns: Sequence[str]) -> dict[str, str]:
    """Column -> name without its unit in brackets and what a name may not hold; all different."""
    names: dict[str, str] = {}
    taken, last = set[str](), dict[str, int]()
    for column in columns:
        plain = re.sub(r"\s*[\[(].*?[\])]", "", column)
        plain = re.sub(r"[:/\s]+", "-", plain).strip("-") or "channel"
        if plain in {INSTANCE, TIME, LABEL, EVENT}:
            plain += "-reading"
        name, number = plain, last.get(plain, 1)
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        names[column] = name
        last[plain] = number
        taken.add(name)
    return names


def guess_channel(name: str, column: str, values: pd.Series[Any]) -> Channel:
    """Guess a channel from its column's name and readings.

    A range that is too narrow makes missing readings of good ones, at the next site or in the next
    season, and one that is too wide costs next to nothing: it is the readings' and twice their
    span, or their size if that is more, on either side.
    """
    readings = values.dropna().to_numpy(dtype=np.float64)
    readings = readings[np.isfinite(readings)]
    off, on = readings == 0.0, readings == 1.0
    if off.any() and on.any() and (off | on).all():
        return Channel(name, "1", "status", 0.0, 1.0)
    kind = _kind(column)
    lowest, highest = float(readings.min()), float(readings.max())
    margin = max(2 * (highest - lowest), abs(lowest), abs(highest)) or 1.0
    low, high = _outwards(lowest - margin, -1), _outwards(highest + margin, 1)
    if kind in _NOT_NEGATIVE and lowest >= 0.0:
        low = 0.0
    return Channel(name, _unit(column), kind, low, high)


def _outwards(value: float, side: int) -> float:
    """Round away from the readings to one digit."""
    if value == 0.0:
        return 0.0
    scale = 10.0 ** math.floor(math.log10(abs(value)))
    return float(f"{(math.ceil if side > 0 else math.floor)(value / scale) * scale:.6g}")


def _unit(column: str) -> str:
    found = re.search(r"[\[(](.+?)[\])]", column)
    return found.group(1).strip() or "?" if found else "?"


def _kind(column: str) -> ChannelKind:
    for kind, words in _KIND_WORDS.items():
        if any(word in column.lower() for word in words):
            return kind
    return "other"


def remark(channel: Channel, values: pd.Series[Any]) -> str:
    """Return a comment on what a channel's guess rests on."""
    if channel.kind == "status":
        return "# Only 0 and 1 occur."
    ask = " Set the unit." if channel.unit == "?" else ""
    if values.nunique() == 1:
        return (
            f"# It never changes from {values.max():g} here: set kind, low and high by what is "
            f"possible.{ask}"
        )
    return (
        f"# It reads {values.min():g} to {values.max():g} here; low and high are a wide guess: "
        f"take what is physically possible from the data sheet.{ask}"
    )
