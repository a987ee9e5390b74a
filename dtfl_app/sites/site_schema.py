"""A site's own file described in a small TOML: its channels, its clock, and where its labels are.

::

    name = "booster-station"
    period-s = 60                     # seconds from one sample to the next
    twin = "none"                     # or "ctown": the plant is C-Town; "recorded": a file
    time = "timestamp"                # column of the time stamps; default "time"
    time-formats = ["ISO8601"]        # or with strptime's directives; the first that fits is used
    time-unit = "ms"                  # instead of time-formats: numbers since 1970; s ms us ns
    max-gap-s = 5                     # steps of 1.5 periods to 5 s are filled; default: none is
    fill = "hold"                     # with the last readings; or "interpolate"
    separator = ","                   # of a CSV file; default ","
    decimal = "."                     # before a number's decimals; default "."
    thousands = ""                    # between groups of three digits; default: none
    missing = ["Bad Input", "-999"]   # mean "no reading", on top of an empty cell, NaN and the like
    states = { OFF = 0, ON = 1 }      # words that stand for numbers, on top of true and false
    encoding = "cp1252"               # of the text; default "utf-8"
    header-row = 2                    # lines before the header; default 0
    skip-rows = 1                     # lines after it that are no readings, e.g. units; default 0
    order = "newest-first"            # of the rows; default "oldest-first"

    [[channel]]
    name = "level"                    # what all sites call it
    column = "Tank 1 level [m]"       # what this site's file calls it; default: the name
    unit = "m"
    kind = "level"                    # level flow status pressure temperature other
    low = 0.0                         # physically possible range, in the unit
    high = 8.0

    [labels]                          # leave it out where nothing is labelled
    column = "ATT_FLAG"               # with values as listed below; others are refused
    normal = [0, "benign"]            # numbers and words; letters' case and spaces do not count
    abnormal = [1, "attack*"]         # "*" stands for any letters
    unlabelled = [-999]

    [labels]                          # or: a table of events, start and end inclusive
    events = "events.csv"             # beside this file; columns start, end, event and maybe site

Names, units, kinds, ranges and period are what sites must agree on (`Schema.digest`); columns, time
formats, how a CSV is written, gaps and labels are each site's own.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from dtfl_app.core.errors import SchemaError
from dtfl_app.sites.cells import EPOCHS, ISO8601, require_format
from dtfl_app.sites.dialect import CSV_KEYS, CsvDialect, dialect_table, read_dialect
from dtfl_app.sites.label_column import LABEL_KEYS, LabelColumn, label_table, read_label_column
from dtfl_app.sites.stretches import FROZEN_SAMPLES, Fill, GapFilling, longest_step_ns
from twin.schema import EVENT, INSTANCE, LABEL, TIME, Channel, ChannelKind, Schema

__all__ = [
    "CsvDialect",
    "EventTable",
    "LabelColumn",
    "SiteSchema",
    "TwinKind",
    "parse_site_schema",
    "read_site_schema",
]

TwinKind = Literal["none", "ctown", "recorded"]

_ROOT = {
    "name",
    "period-s",
    "twin",
    "time",
    "time-formats",
    "time-unit",
    "order",
    "max-gap-s",
    "fill",
    "channel",
    "labels",
    *CSV_KEYS,
}
# By whether the newest row is the first.
_ORDERS = ("oldest-first", "newest-first")
_CHANNEL = {"name", "column", "unit", "kind", "low", "high"}
_RESERVED = {INSTANCE, TIME, LABEL, EVENT}


@dataclass(frozen=True, slots=True)
class EventTable:
    """Labels stand in a table of events; rows outside every event are normal.

    Parameters
    ----------
    path : CSV with columns start, end (both inclusive), event and, where sites differ, site.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class SiteSchema:
    """What a site's file holds and how it is written.

    Parameters
    ----------
    schema : what all sites agree on.
    columns : channel name -> column of the file, for every channel.
    time : column of the time stamps.
    time_formats : formats to try: "ISO8601", or one with the directives of ``strptime``.
    labels : where labels are; None for an unlabelled site.
    twin : what the digital twin of such sites is, where the run's settings do not say.
    csv : how the file is written, if it is a CSV; a table of events is written likewise.
    time_unit : one of `cells.EPOCHS` where times are numbers; "" where `time_formats` hold.
    newest_first : whether a file's first row is its latest.
    gaps : which interruptions of a recording are filled, and how.
    """

    schema: Schema
    columns: Mapping[str, str] = field(default_factory=dict)
    time: str = TIME
    time_formats: tuple[str, ...] = ("ISO8601",)
    labels: LabelColumn | EventTable | None = None
    twin: TwinKind = "none"
    csv: CsvDialect = field(default_factory=CsvDialect)
    time_unit: str = ""
    newest_first: bool = False
    gaps: GapFilling = field(default_factory=GapFilling)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", {n: n for n in self.schema.names} | {**self.columns})

    @property
    def time_forms(self) -> tuple[str, ...]:
        """Forms of time to try, as `cells.parse_time` takes them."""
        return (EPOCHS[self.time_unit][0],) if self.time_unit else self.time_formats

    def to_toml(self) -> str:
        """Write it as the TOML that `read_site_schema` reads; an event table by its file name."""
        head = {
            "name": self.schema.name,
            "period-s": float(self.schema.period_s),
            "twin": self.twin,
            "time": self.time,
            **({"time-unit": self.time_unit} if self.time_unit else {}),
            **({} if self.time_unit else {"time-formats": list(self.time_formats)}),
            **_gap_table(self.gaps),
            **dialect_table(self.csv),
            **({"order": _ORDERS[True]} if self.newest_first else {}),
        }
        channels = [
            "[[channel]]\n" + _lines(_table(channel, self.columns[channel.name]))
            for channel in self.schema.channels
        ]
        return "\n".join([_lines(head), *channels, *self._label_table()])

    def _label_table(self) -> list[str]:
        if self.labels is None:
            return []
        if isinstance(self.labels, EventTable):
            return ["[labels]\n" + _lines({"events": self.labels.path.name})]
        return ["[labels]\n" + _lines(label_table(self.labels))]


def _gap_table(gaps: GapFilling) -> dict[str, object]:
    return {"max-gap-s": float(gaps.max_gap_s), "fill": gaps.fill} if gaps.max_gap_s else {}


def _table(channel: Channel, column: str) -> dict[str, object]:
    return {
        "name": channel.name,
        "column": column,
        "unit": channel.unit,
        "kind": channel.kind,
        "low": float(channel.low),
        "high": float(channel.high),
    }


def read_site_schema(path: Path) -> SiteSchema:
    """Read a site schema; raise SchemaError naming file, table and key for anything wrong."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SchemaError(
            f"{path}: no such site schema; `dtfl site draft FILE` writes a first one from a file"
        ) from None
    except OSError as error:
        raise SchemaError(f"{path}: not a site schema in TOML ({error})") from error
    return parse_site_schema(content, path)


def parse_site_schema(content: bytes, path: Path) -> SiteSchema:
    """Read the content of a site schema that was read from `path`; errors as `read_site_schema`."""
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemaError(f"{path}: not a site schema in TOML ({error})") from error
    reader = _Reader(path)
    reader.known(found, _ROOT, "at the top")
    channels = reader.tables(found, "channel")
    made = [reader.channel(table, i + 1) for i, table in enumerate(channels)]
    try:
        schema = Schema(
            reader.text(found, "name", "at the top"),
            tuple(channel for channel, _ in made),
            reader.number(found, "period-s", "at the top"),
        )
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from error
    return SiteSchema(
        schema,
        {channel.name: column for channel, column in made},
        reader.text(found, "time", "at the top", TIME),
        reader.formats(found),
        reader.labels(found),
        reader.twin(found),
        read_dialect(found, reader.refuse),
        reader.time_unit(found),
        reader.newest_first(found),
        reader.gaps(found, schema.period_s),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes typed values out of the TOML of `path`; every error names the place."""

    path: Path

    def known(self, table: Mapping[str, Any], keys: set[str], where: str) -> None:
        if unknown := sorted(set(table) - keys):
            self.refuse(f"{where}: unknown keys {unknown}; expected some of {sorted(keys)}")

    def refuse(self, what: str) -> NoReturn:
        raise SchemaError(f"{self.path}: {what}")

    def text(
        self, table: Mapping[str, Any], key: str, where: str, default: str | None = None
    ) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or not value.strip():
            self.refuse(f'{where}: {key} = {value!r}; expected a text, e.g. {key} = "level"')
        return str(value)

    def number(self, table: Mapping[str, Any], key: str, where: str) -> float:
        value = table.get(key)
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        number = float(value) if plain else math.nan  # type: ignore[arg-type] # checked
        if not math.isfinite(number):
            self.refuse(f"{where}: {key} = {value!r}; expected a number, e.g. {key} = 60")
        return number

    def formats(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        value = table.get("time-formats", [ISO8601])
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            self.refuse(
                f'time-formats = {value!r}; expected texts, e.g. time-formats = ["ISO8601"]'
            )
        for form in value:
            try:
                require_format(form)
            except ValueError as error:
                self.refuse(f"time-formats: {error}")
        return tuple(value)

    def time_unit(self, table: Mapping[str, Any]) -> str:
        value = table.get("time-unit", "")
        if value not in ("", *EPOCHS):
            self.refuse(f"time-unit = {value!r}; expected one of {list(EPOCHS)}")
        if value and "time-formats" in table:
            self.refuse("time-unit and time-formats are both there; expected one of them")
        return str(value)

    def newest_first(self, table: Mapping[str, Any]) -> bool:
        value = table.get("order", _ORDERS[False])
        if value not in _ORDERS:
            self.refuse(f"order = {value!r}; expected one of {list(_ORDERS)}")
        return bool(value == _ORDERS[True])

    def gaps(self, table: Mapping[str, Any], period_s: float) -> GapFilling:
        fill = table.get("fill", "hold")
        if fill not in get_args(Fill):
            self.refuse(f"fill = {fill!r}; expected one of {list(get_args(Fill))}")
        if "max-gap-s" not in table:
            if "fill" in table:
                self.refuse(f"fill = {fill!r} without max-gap-s fills nothing; expected both")
            return GapFilling()
        longest = self.number(table, "max-gap-s", "at the top")
        least, most = longest_step_ns(period_s) / 1e9, FROZEN_SAMPLES * period_s
        if not least < longest <= most:
            self.refuse(
                f"max-gap-s = {longest:g}; expected seconds above {least:g}, since a step of up to "
                f"1.5 periods is no gap, and up to {most:g}, since {FROZEN_SAMPLES} equal readings "
                "are those of a dead sensor; leave it out to fill none"
            )
        return GapFilling(longest, fill)

    def tables(self, table: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        value = table.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            self.refuse(f"no channels; expected one [[{key}]] table per sensor")
        return list(value)

    def channel(self, table: Mapping[str, Any], place: int) -> tuple[Channel, str]:
        where = f"[[channel]] {place}"
        name = self.text(table, "name", where)
        where = f"[[channel]] {name!r}"
        self.known(table, _CHANNEL, where)
        if name in _RESERVED or ":" in name or "/" in name:
            self.refuse(
                f"{where}: a channel cannot be called so; expected a name other than "
                f"{sorted(_RESERVED)}, without ':' or '/' (the file's column may have any)"
            )
        kind = self.text(table, "kind", where, "other")
        if kind not in get_args(ChannelKind):
            self.refuse(f"{where}: kind = {kind!r}; expected one of {get_args(ChannelKind)}")
        unit = self.text(table, "unit", where)
        low, high = (self.number(table, key, where) for key in ("low", "high"))
        try:
            channel = Channel(name, unit, kind, low, high)  # type: ignore[arg-type] # checked
        except SchemaError as error:
            raise SchemaError(f"{self.path}: {error}") from error
        return channel, self.text(table, "column", where, name)

    def labels(self, root: Mapping[str, Any]) -> LabelColumn | EventTable | None:
        table = root.get("labels")
        if table is None:
            return None
        if not isinstance(table, dict) or ("events" in table) == ("column" in table):
            self.refuse("[labels]: expected either column or events")
        if "events" in table:
            self.known(table, {"events"}, "[labels]")
            return EventTable(self.path.parent / self.text(table, "events", "[labels]"))
        self.known(table, set(LABEL_KEYS), "[labels]")
        return read_label_column(table, self.text(table, "column", "[labels]"), self.refuse)

    def twin(self, found: Mapping[str, Any]) -> TwinKind:
        value = found.get("twin", "none")
        if value not in get_args(TwinKind):
            self.refuse(f"twin = {value!r}; expected one of {get_args(TwinKind)}")
        return value  # type: ignore[no-any-return] # checked


def _lines(table: Mapping[str, object]) -> str:
    return "".join(f"{key} = {_literal(value)}\n" for key, value in table.items())


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_literal(key)} = {_literal(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    assert isinstance(value, int | float)
    return repr(value)
