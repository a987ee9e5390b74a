"""The one vocabulary for sensor data: what a channel is, and what a labelled series looks like.

A *labelled series* is a pandas DataFrame with these columns, in this order:

========  ==============  ====================================================
column    dtype           meaning
========  ==============  ====================================================
instance  str             a stretch recorded without interruption; rows of two
                          instances are never neighbours in time
time      datetime64[ns]  strictly increasing within an instance
<channel> float64         one column per channel of the schema, in its order;
                          NaN = missing
label     int8            0 normal, 1 abnormal, -1 unlabelled
event     str             name of the event under way, "" for none
========  ==============  ====================================================

Sites and twin both speak it, so this module knows neither of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from twin.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ABNORMAL",
    "EVENT",
    "INSTANCE",
    "LABEL",
    "NORMAL",
    "TIME",
    "UNLABELLED",
    "Channel",
    "ChannelKind",
    "Schema",
    "iter_instances",
    "out_of_range",
]

INSTANCE, TIME, LABEL, EVENT = "instance", "time", "label", "event"
NORMAL, ABNORMAL, UNLABELLED = 0, 1, -1

ChannelKind = Literal["level", "flow", "status", "pressure", "temperature", "other"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One sensor: its name, its unit and the range its readings can physically take.

    Parameters
    ----------
    name : column name, unique within a schema.
    unit : unit of the readings, e.g. "m", "L/s", "Pa", "1" for dimensionless.
    kind : what is measured.
    low, high : physically possible range in `unit`, ``low < high``. A reading outside it is a
        wrong unit or a broken sensor, not an anomaly to learn from.
    """

    name: str
    unit: str
    kind: ChannelKind
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise SchemaError(
                f"channel {self.name!r}: range [{self.low}, {self.high}] {self.unit} is empty; "
                "low must be below high"
            )


@dataclass(frozen=True, slots=True)
class Schema:
    """The channels that all sites of a federation and their twin share.

    Parameters
    ----------
    name : short name used in messages.
    channels : the sensors, in column order.
    period_s : sampling period in seconds, > 0.
    """

    name: str
    channels: tuple[Channel, ...]
    period_s: float

    def __post_init__(self) -> None:
        repeated = sorted(n for n, times in Counter(self.names).items() if times > 1)
        if repeated:
            raise SchemaError(f"schema {self.name!r}: channel names occur twice: {repeated}")
        if not self.channels or self.period_s <= 0:
            raise SchemaError(f"schema {self.name!r}: needs channels and a period above 0 s")

    @property
    def names(self) -> list[str]:
        """Channel names in column order."""
        return [channel.name for channel in self.channels]

    @property
    def columns(self) -> list[str]:
        """All columns of a labelled series in this schema."""
        return [INSTANCE, TIME, *self.names, LABEL, EVENT]

    def digest(self) -> str:
        """16 hexadecimal digits that two parties share if and only if their schemas agree."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def validate(self, series: pd.DataFrame, where: str) -> None:
        """Raise SchemaError unless `series` is a labelled series in this schema.

        `where` names the file or source for the message. Missing readings (NaN) are allowed;
        readings outside a channel's range, unsorted times and unknown labels are not.
        """
        self._validate_columns(series, where)
        if series.empty:
            raise SchemaError(f"{where}: no rows; expected at least one sample")
        self._validate_ranges(series, where)
        self._validate_times(series, where)
        strange = sorted(set(series[LABEL].unique()) - {NORMAL, ABNORMAL, UNLABELLED})
        if strange:
            raise SchemaError(
                f"{where}: column 'label' holds {strange}; expected 0 (normal), 1 (abnormal) "
                "or -1 (unlabelled)"
            )

    def _validate_columns(self, series: pd.DataFrame, where: str) -> None:
        # A gateway that scores row by row has the vocabulary without pandas' 60 MB.
        from pandas.api.types import is_numeric_dtype  # noqa: PLC0415 - see above

        missing = [c for c in self.columns if c not in series.columns]
        if missing:
            raise SchemaError(
                f"{where}: columns {missing} are missing; schema {self.name!r} expects "
                f"{self.columns}. Add them or use another schema"
            )
        for name in self.names:
            if not is_numeric_dtype(series[name]):
                raise SchemaError(
                    f"{where}: column {name!r} is {series[name].dtype}, expected numbers"
                )

    def _validate_ranges(self, series: pd.DataFrame, where: str) -> None:
        for channel in self.channels:
            values = series[channel.name].to_numpy(dtype=np.float64)
            bad = np.flatnonzero(out_of_range(values, channel.low, channel.high))
            if bad.size:
                row = int(bad[0])
                raise SchemaError(
                    f"{where}: row {row}, column {channel.name!r}: {values[row]:g} is outside "
                    f"[{channel.low:g}, {channel.high:g}] {channel.unit} ({bad.size} such rows); "
                    "check the unit, or widen the range in the schema"
                )

    def _validate_times(self, series: pd.DataFrame, where: str) -> None:
        for name, rows in iter_instances(series):
            steps = np.diff(rows[TIME].to_numpy())
            bad = np.flatnonzero(steps <= np.timedelta64(0))
            if bad.size:
                raise SchemaError(
                    f"{where}: instance {name!r}: time goes back or repeats at "
                    f"{rows[TIME].iloc[int(bad[0]) + 1]}; sort the rows and drop duplicates"
                )


def out_of_range(
    values: npt.NDArray[np.float64],
    low: float | npt.NDArray[np.float64],
    high: float | npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Tell which readings are outside the physical range of their channel; NaN never is."""
    return (values < low) | (values > high)


def iter_instances(series: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (name, rows) per instance, in order of first appearance."""
    for name, rows in series.groupby(INSTANCE, sort=False):
        yield str(name), rows
