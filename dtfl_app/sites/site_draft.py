"""A first site schema guessed from a file, for its owner to check."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.cells import EPOCHS, ISO8601
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.guesses import guess_dialect, guess_words, require_wide, why_no_channel
from dtfl_app.sites.readers import UNNAMED, parse_times, read_numbers, read_table
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from twin.schema import EVENT, INSTANCE, LABEL, TIME, Channel, ChannelKind, Schema

__all__ = ["Draft", "draft_schema"]

_FORMATS = (
    "ISO8601",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%y %H:%M",
    "%d/%m/%y %H",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
)
# Numbers that are seconds since 1970 in the years 2001 to 2065: few sensors read so.
_EPOCH_FROM, _EPOCH_TO = 1e9, 3e9
_LABEL_WORDS = ("label", "flag", "attack", "anomal", "fault", "abnormal", "class")
_MOST_LABELS = 12
_FEW_ROWS = 50
_KIND_WORDS: dict[ChannelKind, tuple[str, ...]] = {
    "level": ("level", "tank"),
    "flow": ("flow", "discharge"),
    "pressure": ("pressure", "bar", "psi"),
    "temperature": ("temp", "°c", "degc"),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A first site schema.

    Parameters
    ----------
    toml : what `read_site_schema` reads, with comments on what was guessed.
    left_out : for each column of the file that the schema does not take, its name and the reason.
    """

    toml: str
    left_out: tuple[str, ...]


def draft_schema(path: Path) -> Draft:
    """Guess a first site schema from a file.

    Time column, its format and the period come from the time stamps; every numeric column is a
    channel with twice its span on either side as range, a column of both 0 and 1 a status; a column
    of few whole numbers whose name says so is the label. Words that recur among numbers are missing
    readings, pairs such as OFF and ON are 0 and 1.

    Raises DataError where no column holds times, or none holds numbers.
    """
    marks = _marks(path)
    frame = read_table(path, marks)
    column, form, time = _clock(frame, path)
    newest_first = bool(_median_step(time) < np.timedelta64(0))
    time = time[::-1] if newest_first else time
    others = [c for c in frame.columns if c not in {column, INSTANCE}]
    dialect = guess_words([frame[c] for c in others], marks)
    reasons = {c: _reason(frame[c], dialect) for c in others}
    for name in others:
        if not reasons[name]:
            frame[name] = read_numbers(frame[name], dialect.grammar)[0]
    label = next((c for c in others if not reasons[c] and _is_label(frame[c], c)), None)
    numeric = [c for c in others if c != label and not reasons[c]]
    left_out = tuple(
        f"column {json.dumps(c, ensure_ascii=False)}: {reasons[c]}"
        for c in others
        if c != label and reasons[c]
    )
    if not numeric:
        raise DataError(
            f"{path}: no column of numbers beside the time; expected at least one sensor"
            + "".join(f"\n  {reason}" for reason in left_out)
        )
    require_wide(frame, numeric, path)
    names = _channel_names(numeric)
    unit = next((unit for unit, (known, _) in EPOCHS.items() if known == form), "")
    site = SiteSchema(
        Schema(
            path.stem, tuple(_channel(names[c], c, frame[c]) for c in numeric), _period(time, path)
        ),
        {name: c for c, name in names.items()},
        column,
        (ISO8601,) if unit else (form,),
        _labels(frame[label], label) if label else None,
        csv=dialect,
        time_unit=unit,
        newest_first=newest_first,
    )
    return Draft(_commented(site, frame, path, left_out), left_out)


def _reason(column: pd.Series[Any], dialect: CsvDialect) -> str:
    """Why a column is left out; "" where it is not."""
    if str(column.name).startswith(UNNAMED):
        return "it has no name, as the row numbers of an exported table"
    if column.name == EVENT:
        return "names of events come from a table ([labels] events), not from the file"
    if reason := why_no_channel(column, dialect):
        return reason
    if column.name == LABEL and not _is_label(column, LABEL):
        return "a channel cannot be called so, and it is no label: it has other than whole numbers"
    return ""


def _marks(path: Path) -> CsvDialect:
    if path.suffix.lower() != ".csv" or not path.is_file():
        return CsvDialect()
    return guess_dialect(path)


def _clock(frame: pd.DataFrame, path: Path) -> tuple[str, str, NDArray[np.datetime64]]:
    """The column of times, its format, and the times: of several readings the most even one."""
    found = _readings(frame, _texts(frame), path) or _readings(frame, _epochs(frame), path)
    if not found:
        raise DataError(
            f"{path}: no column holds times in one format throughout; expected ISO 8601 "
            f"(2024-03-01T12:00:00) or one of {list(_FORMATS[1:])}. If the format is another, "
            "write the schema by hand (time-formats with the directives of strptime, or time-unit)"
        )
    _, _, column, form, time = min(found, key=lambda one: one[:2])
    return column, form, time


def _readings(
    frame: pd.DataFrame, candidates: Iterable[tuple[str, str]], path: Path
) -> list[tuple[float, int, str, str, NDArray[np.datetime64]]]:
    """Unevenness, place, column, format and times of the candidates that hold times throughout."""
    return [
        (_unevenness(time), place, column, form, time)
        for place, (column, form) in enumerate(candidates)
        # Most columns and formats fail on the first rows already.
        if _times(frame[column].head(_FEW_ROWS), path, form) is not None
        and (time := _times(frame[column], path, form)) is not None
    ]


def _texts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    texts = [c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    return [(column, form) for column in texts for form in _FORMATS]


def _epochs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Columns of numbers that may be times since 1970, and in which unit."""
    return [
        (column, form)
        for column in frame.columns
        if pd.api.types.is_numeric_dtype(frame[column])
        for form, ns in EPOCHS.values()
        if float(frame[column].min()) * ns / 10**9 >= _EPOCH_FROM
        and float(frame[column].max()) * ns / 10**9 <= _EPOCH_TO
    ]


def _times(column: pd.Series[Any], path: Path, form: str) -> NDArray[np.datetime64] | None:
    try:
        return parse_times(column, path, (form,))
    except DataError:
        return None


def _unevenness(time: NDArray[np.datetime64]) -> float:
    """Share of steps that are not the median one; 2 where time goes neither forward nor back."""
    steps, median = np.diff(time), _median_step(time)
    if not steps.size:
        return 0.0
    return float((steps != median).mean()) if median != np.timedelta64(0) else 2.0


def _median_step(time: NDArray[np.datetime64]) -> np.timedelta64:
    steps = np.diff(time)
    return np.timedelta64(np.median(steps)) if steps.size else np.timedelta64(0, "ns")


def _period(time: NDArray[np.datetime64], path: Path) -> float:
    steps = np.diff(time) / np.timedelta64(1, "s")
    forward = steps[steps > 0]
    if not forward.size:
        raise DataError(
            f"{path}: its time does not go forward from any row to the next, so it has no sampling "
            "period; sort the rows by time, oldest first"
        )
    return round(float(np.median(forward)), 6)


def _is_numeric(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and bool(column.notna().any())


def _is_label(column: pd.Series[Any], name: str) -> bool:
    if not _is_numeric(column) or not any(word in name.lower() for word in _LABEL_WORDS):
        return False
    values = column.dropna().astype(float).unique()
    return len(values) <= _MOST_LABELS and all(value.is_integer() for value in values)


def _labels(column: pd.Series[Any], name: str) -> LabelColumn:
    values = sorted({float(value) for value in column.dropna()})
    return LabelColumn(
        name,
        normal=(0.0,),
        abnormal=tuple(v for v in values if v > 0) or (1.0,),
        unlabelled=tuple(v for v in values if v < 0) or (-1.0,),
    )


def _channel_names(columns: list[str]) -> dict[str, str]:
    """Column -> name without its unit in brackets and what a name may not hold; all different."""
    names: dict[str, str] = {}
    for column in columns:
        plain = re.sub(r"\s*[\[(].*?[\])]", "", column)
        plain = re.sub(r"[:/\s]+", "-", plain).strip("-") or "channel"
        if plain in {INSTANCE, TIME, LABEL, EVENT}:
            plain += "-reading"
        name, number = plain, 1
        while name in names.values():
            number += 1
            name = f"{plain}-{number}"
        names[column] = name
    return names


def _channel(name: str, column: str, values: pd.Series[Any]) -> Channel:
    readings = values.dropna().to_numpy(dtype=np.float64)
    readings = readings[np.isfinite(readings)]
    if set(readings) == {0.0, 1.0}:
        return Channel(name, "1", "status", 0.0, 1.0)
    low, high = float(readings.min()), float(readings.max())
    margin = 2 * (high - low) or max(abs(low), 1.0)
    return Channel(
        name, _unit(column), _kind(column), _outwards(low - margin, -1), _outwards(high + margin, 1)
    )


def _outwards(value: float, side: int) -> float:
    """Round away from the readings to two digits."""
    if value == 0.0:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{(math.ceil if side > 0 else math.floor)(value / scale) * scale:.6g}")


def _unit(column: str) -> str:
    found = re.search(r"[\[(](.+?)[\])]", column)
    return found.group(1).strip() or "?" if found else "?"


def _kind(column: str) -> ChannelKind:
    for kind, words in _KIND_WORDS.items():
        if any(word in column.lower() for word in words):
            return kind
    return "other"


def _commented(site: SiteSchema, frame: pd.DataFrame, path: Path, left_out: tuple[str, ...]) -> str:
    """The schema with a remark before each of its tables."""
    head, *tables = site.to_toml().rstrip("\n").split("\n\n")
    remarks = [
        f"# A first schema for {path.name}, guessed from its {len(frame)} rows: check every line.",
        "# Name, period-s and each channel's name, unit, kind, low and high must be those of all",
        '# sites, in one order; all else is each site\'s own. twin: "none", "ctown" or "recorded".',
    ]
    remarks += [f"# Left out: {reason}" for reason in left_out]
    if site.csv.missing or site.csv.states:
        remarks.append("# Check what missing and states say of the words among the numbers.")
    parts = ["\n".join([*remarks, head])]
    for channel, table in zip(site.schema.channels, tables, strict=False):
        parts.append(f"{_remark(channel, frame[site.columns[channel.name]])}\n{table}")
    if site.labels is not None:
        parts.append(f"# Check which values mean normal and abnormal.\n{tables[-1]}")
    else:
        parts.append(
            "# No column looks like a label. With a table of events beside this file:\n"
            '# [labels]\n# events = "events.csv"   # columns start, end, event and maybe site'
        )
    return "\n\n".join(parts) + "\n"


def _remark(channel: Channel, values: pd.Series[Any]) -> str:
    if channel.kind == "status":
        return "# Only 0 and 1 occur."
    ask = " Set the unit." if channel.unit == "?" else ""
    if values.nunique() == 1:
        return (
            f"# It never changes from {values.max():g} in this file: set kind, low and high by "
            f"what is possible.{ask}"
        )
    return (
        f"# The file has {values.min():g} to {values.max():g}; low and high are what is physically "
        f"possible.{ask}"
    )
