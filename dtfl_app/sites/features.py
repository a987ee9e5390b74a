"""From a labelled series to what a detector sees: one row of numbers per window.

A window covers `window_s` seconds, ends at a sample, and never reaches across two instances or
across a gap in time. It carries time, label and event of its last sample: a detector that runs
on line answers for now, and "now" is where the window ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.baseline import (
    STANDARDISED,
    behind_baseline,
    recording_lengths,
    standardised,
)
from dtfl_app.sites.recordings import Recordings
from dtfl_app.sites.statistics import STATISTICS
from dtfl_app.sites.stretches import changes, interruptions, lengths_between
from twin.schema import EVENT, INSTANCE, LABEL, TIME, Channel, Schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STATISTICS",
    "FeatureSpec",
    "Features",
    "channel_of",
    "concat",
    "feature_ranges",
    "feature_spans",
    "longest_stretch",
    "make_features",
    "no_window",
    "statistic_of",
    "window_ends",
    "window_features",
]

_SEPARATOR = ":"
# Windows per batch: bounds the memory of the gathered samples (2048 x 300 x 8 bytes = 5 MB).
_BATCH = 2048


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """How features are made.

    Parameters
    ----------
    window_s : length of a window in seconds, a whole multiple of the sampling period.
    step_s : seconds from one window to the next, a whole multiple of the sampling period.
    statistics : per channel, of the readings in the window: "last" (the reading at its end),
        "mean", "std" (population standard deviation), "change" (last minus first reading).
    baseline : rows at the beginning of each recording by which its later readings are standardised
        first (`baseline`); 0 = they are left in their units.

    "last" with a window of one period is the identity: each row itself.
    """

    window_s: float
    step_s: float
    statistics: tuple[str, ...]
    baseline: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.statistics if name not in STATISTICS]
        if unknown or not self.statistics or len(set(self.statistics)) < len(self.statistics):
            raise ConfigError(
                f"feature statistics {list(self.statistics)} are not usable; "
                f"expected one or more, each once, of {list(STATISTICS)}"
            )
        if self.window_s <= 0 or self.step_s <= 0:
            raise ConfigError(
                f"feature window {self.window_s:g} s and step {self.step_s:g} s must be above 0"
            )

    def names(self, schema: Schema) -> tuple[str, ...]:
        """Feature names: the channel's for "last", ``channel:statistic`` for the others."""
        return tuple(
            channel if statistic == "last" else f"{channel}{_SEPARATOR}{statistic}"
            for statistic in self.statistics
            for channel in schema.names
        )

    def rows(self, schema: Schema) -> tuple[int, int]:
        """Window and step in samples of `schema`; ConfigError unless both are whole."""
        # 0.3 / 0.1 is a little less than 3 in binary.
        window, step = (
            round(length / schema.period_s, 9) for length in (self.window_s, self.step_s)
        )
        if not (window.is_integer() and step.is_integer()):
            raise ConfigError(
                f"feature window {self.window_s:g} s and step {self.step_s:g} s must be whole "
                f"multiples of the sampling period of schema {schema.name!r}, {schema.period_s:g} s"
            )
        return int(window), int(step)

    def ranges(self, schema: Schema) -> NDArray[np.float64]:
        """`feature_ranges`, of standardised readings where they are."""
        return feature_ranges(self.names(schema), self._read(schema))

    def spans(self, schema: Schema) -> NDArray[np.float64]:
        """`feature_spans`, of standardised readings half of it where they are, shape (d,).

        A common scale is thus never below one standard deviation of a baseline.
        """
        spans = feature_spans(self.names(schema), self._read(schema))
        return spans / 2.0 if self.baseline else spans

    def _read(self, schema: Schema) -> Schema:
        """The schema of the readings that features are made of."""
        if not self.baseline:
            return schema
        return replace(schema, channels=tuple(_standardised(one) for one in schema.channels))


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a detector learns from and is judged on; all arrays have n rows.

    Parameters
    ----------
    values : float32, shape (n, d); NaN = missing.
    names : d feature names.
    label : int8, shape (n,): 0 normal, 1 abnormal, -1 unlabelled.
    time : datetime64[ns], shape (n,): end of the window.
    instance, event : str, shape (n,): the stretch a window lies in, the event at its end.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    label: NDArray[np.int8]
    time: NDArray[np.datetime64]
    instance: NDArray[np.str_]
    event: NDArray[np.str_]

    def __post_init__(self) -> None:
        lengths = {len(self.label), len(self.time), len(self.instance), len(self.event)}
        if lengths != {len(self.values)} or self.values.shape[1:] != (len(self.names),):
            raise DataError(
                f"features do not fit together: values {self.values.shape}, {len(self.names)} "
                f"names, other columns of length {sorted(lengths)}"
            )

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[Any]) -> Features:
        """Return the rows that a boolean mask or an index array selects."""
        return Features(
            self.values[rows],
            self.names,
            self.label[rows],
            self.time[rows],
            self.instance[rows],
            self.event[rows],
        )


def concat(parts: Sequence[Features]) -> Features:
    """Stack the rows of one or more feature sets that have the same names."""
    if not parts or any(part.names != parts[0].names for part in parts):
        raise DataError("only one or more feature sets with the same names can be stacked")
    return Features(
        np.concatenate([part.values for part in parts]),
        parts[0].names,
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.instance for part in parts]),
        np.concatenate([part.event for part in parts]),
    )


def make_features(series: pd.DataFrame, schema: Schema, spec: FeatureSpec) -> Features:
    """Compute the features of every window in a labelled series of whole recordings.

    These are standardised first where `spec` says so (`baseline.standardised`). What is missing and
    what is too short is told at `window_features`.
    """
    return window_features(standardised(series, schema, spec.baseline), schema, spec)


def window_features(series: pd.DataFrame, schema: Schema, spec: FeatureSpec) -> Features:
    """Compute the features of every window in a labelled series, whose readings are as they are.

    Missing readings: "mean" and "std" use those present in the window, "last" and "change" need
    the ones they name; where none is there, the feature is NaN and the scaler decides what it
    becomes. A stretch shorter than a window gives none, so the result may be empty.
    """
    window, ends = spec.rows(schema)[0], window_ends(series, schema, spec)  # shape: (n,)
    columns = [series[name].to_numpy(dtype=np.float64) for name in schema.names]
    values = np.empty((len(ends), len(columns) * len(spec.statistics)), dtype=np.float32)
    for start in range(0, len(ends), _BATCH):
        batch = slice(start, start + _BATCH)
        values[batch] = _statistics(columns, ends[batch], window, spec.statistics)
    return Features(
        values,
        spec.names(schema),
        series[LABEL].to_numpy(dtype=np.int8)[ends],
        series[TIME].to_numpy(dtype="datetime64[ns]")[ends],
        series[INSTANCE].to_numpy(dtype=object)[ends].astype(np.str_),
        series[EVENT].to_numpy(dtype=object)[ends].astype(np.str_),
    )


def longest_stretch(series: pd.DataFrame, schema: Schema) -> int:
    """Return how many rows the longest uninterrupted stretch of a labelled series has."""
    return int(_stretch_lengths(series, schema).max(initial=0))


def no_window(series: pd.DataFrame, schema: Schema, spec: FeatureSpec) -> str:
    """Say why a labelled series gives no window, and what to do."""
    if spec.baseline:
        lengths = recording_lengths(series[INSTANCE])[1]
        if (longest := int(lengths.max(initial=0))) <= spec.baseline:
            return (
                f"no row to score: the longest of its {lengths.size} recordings has {longest} "
                f"rows, all within the baseline of {spec.baseline} rows that a recording begins "
                "with; give longer recordings, or take fewer rows (data.baseline)"
            )
        series = series[behind_baseline(series[INSTANCE], spec.baseline)]
    longest, stretches = longest_stretch(series, schema), _stretch_lengths(series, schema).size
    return (
        f"no window of {spec.window_s:g} s: the longest of its {stretches} "
        f"uninterrupted stretches has {longest} rows ({longest * schema.period_s:g} s); use a "
        "shorter window (features.window-s), or, where single rows are missing, have the gaps "
        "filled (max-gap-s in the site schema)"
    )


def _stretch_lengths(
    series: pd.DataFrame, schema: Schema, part: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    breaks = interruptions(series[TIME].to_numpy(), schema.period_s)
    breaks |= changes(Recordings.of(series[INSTANCE]).number)
    if part is not None:
        breaks |= changes(part)
    return lengths_between(breaks, len(series))


def window_ends(
    series: pd.DataFrame, schema: Schema, spec: FeatureSpec, part: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Return the rows at which a window ends, from the first full one of each stretch on.

    Parameters
    ----------
    series : labelled; of its columns only instance and time count.
    schema, spec : say how long a period, a window and a step are.
    part : which rows are of another part than the rest, shape (n,): no window has rows of both.
    """
    window, step = spec.rows(schema)
    length = _stretch_lengths(series, schema, part)
    windows = np.maximum((length - window) // step + 1, 0)
    first = np.cumsum(length) - length + window - 1
    before = np.cumsum(windows) - windows
    ends = np.repeat(first - step * before, windows) + step * np.arange(windows.sum())
    return np.asarray(ends, dtype=np.intp)


def _standardised(channel: Channel) -> Channel:
    """A channel as its readings are once they are standardised."""
    if channel.kind == "status":
        return replace(channel, low=0.0, high=1.0)
    return replace(channel, low=-STANDARDISED, high=STANDARDISED)


def _statistics(
    columns: list[NDArray[np.float64]],
    ends: NDArray[np.intp],
    window: int,
    statistics: tuple[str, ...],
) -> NDArray[np.float64]:
    rows = ends[:, None] + np.arange(1 - window, 1)  # shape: (windows, samples)
    samples = [column[rows] for column in columns]
    return np.stack([STATISTICS[name](s) for name in statistics for s in samples], axis=1)


def channel_of(feature: str) -> str:
    """Return the channel that a feature is of."""
    return feature.partition(_SEPARATOR)[0]


def statistic_of(feature: str) -> str:
    """Return the statistic that a feature is; "" where it is the channel's reading itself."""
    return feature.partition(_SEPARATOR)[2]


def feature_spans(names: Sequence[str], schema: Schema) -> NDArray[np.float64]:
    """Width of the physical range of each feature's channel, in its unit; shape (d,), > 0."""
    spans = {channel.name: channel.high - channel.low for channel in schema.channels}
    return np.array([spans[channel_of(name)] for name in names], dtype=np.float64)


def feature_ranges(names: Sequence[str], schema: Schema) -> NDArray[np.float64]:
    """Least and greatest value that each feature can have, in its unit; shape (2, d).

    They follow from the physical range [low, high] of its channel: "last" and "mean" lie in it,
    "change" in [low - high, high - low], and "std" in [0, (high - low) / 2], which it has where
    half of the readings are at either end (Popoviciu's inequality).
    """
    channels = {channel.name: channel for channel in schema.channels}
    found = []
    for name in names:
        channel, _, statistic = name.partition(_SEPARATOR)
        low, high = channels[channel].low, channels[channel].high
        found.append(_RANGES.get(statistic, _of_readings)(low, high))
    return np.array(found, dtype=np.float64).reshape(-1, 2).T


def _of_readings(low: float, high: float) -> tuple[float, float]:
    return low, high


def _of_changes(low: float, high: float) -> tuple[float, float]:
    return low - high, high - low


def _of_deviations(low: float, high: float) -> tuple[float, float]:
    return 0.0, (high - low) / 2.0


_RANGES = {"change": _of_changes, "std": _of_deviations}
