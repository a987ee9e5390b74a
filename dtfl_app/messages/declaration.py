"""What one kind of reply may hold: written once, checked by the site that sends and by the gate.

Names of records and of their entries are compared here, the labels of arrays in
`dtfl_app.messages.payload`; neither reads a byte of an array. Reasons name entries and no values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import one_line, quoted
from dtfl_app.messages.wire import Arrays, to_record

__all__ = [
    "ARRAYS",
    "EXAMPLES_LIMIT",
    "IDENTITY",
    "METRICS",
    "SITE",
    "ArraySpec",
    "Declaration",
    "MetricSpec",
    "Metrics",
    "Records",
    "is_finite",
    "listed",
    "open_reply",
    "pack_reply",
    "require_answer",
]

# Above any site's rows; a larger count is an attempt to outweigh all others.
EXAMPLES_LIMIT = 10_000_000

# What a MetricRecord holds.
Metrics = dict[str, int | float | list[int] | list[float]]

ARRAYS, METRICS, IDENTITY = "arrays", "metrics", "identity"
# Every identity has it: who answers.
SITE = "site"


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array: its dtype's name and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One number, or a list of numbers of one type.

    Parameters
    ----------
    kind : int or float.
    lengths : how long the list may be; empty = a single number.
    optional : whether it may be missing.
    """

    kind: type[int] | type[float]
    lengths: Sequence[int] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that one kind of reply may hold.

    Parameters
    ----------
    arrays : name -> array, in record "arrays"; None = no such record.
    metrics : name -> numbers, in record "metrics".
    identity : name -> type, in record "identity"; None = no such record.
    """

    arrays: Mapping[str, ArraySpec] | None
    metrics: Mapping[str, MetricSpec]
    identity: Mapping[str, type] | None


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a reply; those that are not declared are empty."""

    arrays: ArrayRecord
    metrics: MetricRecord
    identity: ConfigRecord

    @classmethod
    def of(cls, content: RecordDict, declared: Declaration) -> Records:
        """Take a reply apart.

        Raises ReplyError unless its records are those declared and no metric or entry of the
        identity is another; which of these are missing is for their reader to say.
        """
        kinds: dict[str, tuple[Mapping[str, object], Collection[str] | None]] = {
            ARRAYS: (content.array_records, declared.arrays),
            METRICS: (content.metric_records, declared.metrics),
            IDENTITY: (content.config_records, declared.identity),
        }
        due = {name: found for name, (found, entries) in kinds.items() if entries is not None}
        for name, found in due.items():
            if name not in found:
                raise ReplyError(f"record {name!r} is missing")
        _refuse_others("records", content.keys(), due)
        arrays = content.array_records.get(ARRAYS, ArrayRecord())
        metrics = content.metric_records[METRICS]
        identity = content.config_records.get(IDENTITY, ConfigRecord())
        _refuse_others(METRICS, metrics.keys(), declared.metrics)
        _refuse_others("identity entries", identity.keys(), declared.identity or {})
        return cls(arrays, metrics, identity)

    def whole(self, key: str, low: int, high: int) -> int:
        """Return a metric that is an integer in [`low`, `high`], or raise ReplyError."""
        value = self.metrics.get(key)
        if type(value) is not int or not low <= value <= high:
            raise ReplyError(
                f"metric {key!r} is {quoted(value)}, expected an integer in [{low}, {high}]"
            )
        return value

    def finite(self, key: str) -> float:
        """Return a metric that is a finite number, or raise ReplyError."""
        value = self.metrics.get(key)
        if not is_finite(value):
            raise ReplyError(f"metric {key!r} is {quoted(value)}, expected a finite number")
        return float(value)  # type: ignore[arg-type] # checked above


def pack_reply(
    task: Message,
    metrics: Metrics,
    arrays: Arrays | None = None,
    identity: Mapping[str, str | int] | None = None,
) -> Message:
    """Build the reply to a task; None = no such record."""
    content = RecordDict()
    if arrays is not None:
        content[ARRAYS] = to_record(arrays)
    content[METRICS] = MetricRecord(metrics)
    if identity is not None:
        content[IDENTITY] = ConfigRecord({**identity})
    return Message(content=content, reply_to=task)


def require_answer(message: Message) -> None:
    """Raise ReplyError, in the site's own words, where it failed."""
    if message.has_error():
        raise ReplyError(f"site failed: {one_line(message.error.reason or 'no reason given')}")


def open_reply(message: Message, declared: Declaration) -> Records:
    """Take a site's message apart; ReplyError where it failed or holds other than is declared."""
    require_answer(message)
    return Records.of(message.content, declared)


def is_finite(value: object) -> bool:
    """Tell whether it is an int or float, but no bool, that is finite."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def listed(names: Collection[str]) -> str:
    """Name the first three of `names`, which a site may have chosen, and count the others."""
    first = ", ".join(quoted(name) for name in sorted(names)[:3])
    return first + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _refuse_others(what: str, names: Collection[str], declared: Collection[str]) -> None:
    unasked = set(names) - set(declared)
    if unasked:
        raise ReplyError(f"{what} not asked for: {listed(unasked)}; a reply holds nothing else")
