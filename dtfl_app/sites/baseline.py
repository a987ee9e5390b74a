"""Each recording standardised by its own beginning, for machines that run at points of their own.

Rigs, wells and pumps of one kind run at other speeds, loads and pressures, so what is normal at one
is far out at another, and a scaling that a federation agrees on fits none of them. The first N rows
of a recording, taken as normal, are its baseline: later readings are counted in its standard
deviations from its mean. The rows of a baseline are not scored. Nothing of it leaves the site, and
a gateway needs no more than N rows.

A gap does not end a recording; another name does, apart from its number of a part
(``stretches.recording_of``). A status has no operating point and only goes from its range to
[0, 1]: a pump that rested throughout a baseline would else be far out whenever it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.logs import log
from dtfl_app.sites.findings import counted
from dtfl_app.sites.scaling import ACCURACY
from dtfl_app.sites.stretches import recording_of, run_lengths
from twin.schema import ABNORMAL, INSTANCE, LABEL, Schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STANDARDISED",
    "Baseline",
    "RunningBaseline",
    "behind_baseline",
    "recording_lengths",
    "standardised",
]

Floats = NDArray[np.float64]

#: Size in standard deviations of a baseline that no standardised reading is beyond: a reading lies
#: within its channel's range, and no scale is below `ACCURACY` of it.
STANDARDISED = 1.0 / ACCURACY
# Recordings that a message names.
_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Mean and scale of the first rows of a recording.

    Parameters
    ----------
    mean : shape (c,), in the channels' units; NaN where none of the rows has a reading; of a
        status the lower end of its range.
    scale : shape (c,), > 0: the standard deviation, but never below ``ACCURACY`` of the channel's
        range; of a status the width of its range.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, rows: Floats, schema: Schema) -> Baseline:
        """Take the baseline from rows of readings, shape (n, c), NaN = missing."""
        # A channel's readings side by side, whatever array they come in: sums then add up alike.
        readings = np.ascontiguousarray(rows.T)  # shape: (c, n)
        present = ~np.isnan(readings)
        count = np.maximum(present.sum(axis=1), 1)
        mean = np.where(present, readings, 0.0).sum(axis=1) / count
        squares = np.where(present, (readings - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
        spans = np.array([channel.high - channel.low for channel in schema.channels])
        low = np.array([channel.low for channel in schema.channels])
        status = np.array([channel.kind == "status" for channel in schema.channels])
        mean = np.where(present.any(axis=1), mean, np.nan)
        scale = np.maximum(np.sqrt(squares), ACCURACY * spans)
        return cls(np.where(status, low, mean), np.where(status, spans, scale))

    def apply(self, rows: Floats) -> Floats:
        """Standardise readings, shape (n, c); a channel without a baseline is missing."""
        return (rows - self.mean) / self.scale


def recording_lengths(instance: pd.Series[Any]) -> tuple[list[str], NDArray[np.intp]]:
    """Names and numbers of rows, in row order, of the recordings that rows are of."""
    import pandas as pd  # noqa: PLC0415 - as in `recordings`

    code, names = pd.factorize(instance.astype(str))
    recording = np.array([recording_of(name) for name in names], dtype=object)[code]
    lengths = run_lengths(recording)
    return recording[np.cumsum(lengths) - lengths].tolist(), lengths


def behind_baseline(instance: pd.Series[Any], rows: int) -> NDArray[np.bool_]:
    """Tell which rows do not belong to the first `rows` of their recordings, shape (n,)."""
    lengths = recording_lengths(instance)[1]
    begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(np.arange(len(instance)) - begins >= rows)


def standardised(series: pd.DataFrame, schema: Schema, rows: int) -> pd.DataFrame:
    """Standardise a labelled series, each recording by its first `rows` rows, which are left out.

    With 0 `rows` it is returned as it is. Recordings that end with their baseline or before give
    nothing and are named in the log.
    """
    if not rows:
        return series
    names, lengths = recording_lengths(series[INSTANCE])
    _tell_short([name for name, n in zip(names, lengths, strict=True) if n <= rows], names, rows)
    values = series[schema.names].to_numpy(dtype=np.float64, copy=True)  # shape: (n, c)
    for end, length in zip(np.cumsum(lengths).tolist(), lengths.tolist(), strict=True):
        if length > rows:
            first, later = slice(end - length, end - length + rows), slice(end - length + rows, end)
            values[later] = Baseline.of(values[first], schema).apply(values[later])
    behind = behind_baseline(series[INSTANCE], rows)
    if abnormal := int((series[LABEL].to_numpy()[~behind] == ABNORMAL).sum()):
        log.warning(
            "%d rows labelled abnormal lie within the baselines of %s: they are taken as normal, "
            "and are neither learnt from nor judged; give recordings that begin in normal "
            "operation, or take fewer rows (data.baseline)",
            abnormal,
            counted(len(names), "recording"),
        )
    kept = series[behind].reset_index(drop=True)
    kept[schema.names] = values[behind]
    return kept


def _tell_short(short: list[str], names: list[str], rows: int) -> None:
    if short:
        log.warning(
            "%d of %s end within the baseline of %d rows (data.baseline) and give nothing: %s%s",
            len(short),
            counted(len(names), "recording"),
            rows,
            ", ".join(short[:_SHOWN]),
            ", ..." if len(short) > _SHOWN else "",
        )


class RunningBaseline:
    """The same, row by row.

    Parameters
    ----------
    schema : the channels.
    rows : rows of a baseline, >= 1.

    `taken`, rows of the baseline so far, is an attribute.
    """

    def __init__(self, schema: Schema, rows: int) -> None:
        self._schema, self._rows = schema, rows
        self.restart()

    def restart(self) -> None:
        """Begin a recording."""
        self.taken = 0
        self._first: list[Floats] = []
        self._baseline: Baseline | None = None

    def takes(self, readings: Floats) -> bool:
        """Take a row, shape (c,), where the baseline lacks one; tell whether it did."""
        if self._baseline is not None:
            return False
        self._first.append(readings)
        self.taken += 1
        if self.taken == self._rows:
            self._baseline = Baseline.of(np.stack(self._first), self._schema)
            self._first.clear()
        return True

    def apply(self, rows: Floats) -> Floats:
        """Standardise rows behind the baseline, shape (n, c)."""
        assert self._baseline is not None
        return self._baseline.apply(rows)

    def undo(self, features: Floats, statistics: Sequence[str]) -> Floats:
        """Turn features of standardised rows, shape (s*c,), into the channels' units.

        Of the channels' `statistics` those of a spread or a change have no mean to add.
        """
        own = self._baseline
        assert own is not None
        means = [own.mean if name in ("last", "mean") else 0.0 * own.mean for name in statistics]
        return features * np.tile(own.scale, len(statistics)) + np.concatenate(means)

    def state(self) -> dict[str, Any]:
        """All that later rows depend on, as plain values."""
        own = self._baseline
        return {
            "taken": self.taken,
            "first": [row.tolist() for row in self._first],
            "mean": None if own is None else own.mean.tolist(),
            "scale": None if own is None else own.scale.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.taken = state["taken"]
        self._first = [np.array(row, dtype=np.float64) for row in state["first"]]
        mean, scale = (state[key] for key in ("mean", "scale"))
        self._baseline = None if mean is None else Baseline(np.array(mean), np.array(scale))
