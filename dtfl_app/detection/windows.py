"""From readings to the model's input, row by row: the same as features, scaling and stacking."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.bundle import FeaturePlan
from dtfl_app.sites.baseline import RunningBaseline
from dtfl_app.sites.scaling import Scaler
from dtfl_app.sites.statistics import STATISTICS
from dtfl_app.sites.stretches import FROZEN_SAMPLES, at_rest
from twin.schema import Schema

__all__ = ["FrozenChannels", "InputWindows", "TrailingMean"]

Floats = NDArray[np.float64]


class FrozenChannels:
    """Takes channels that hold one value from the start of a stretch as missing.

    That of a dead sensor is known for sure only from `FROZEN_SAMPLES` readings on. A status may
    rest for as long as it likes, and a flow at 0 (``stretches.at_rest``).

    Parameters
    ----------
    schema : the channels.
    """

    def __init__(self, schema: Schema) -> None:
        self._kinds = np.array([channel.kind for channel in schema.channels])
        self.restart()

    def restart(self) -> None:
        """Begin a stretch."""
        self._first = np.full(len(self._kinds), np.nan)
        self._count = np.zeros(len(self._kinds), dtype=np.int64)
        self._moved = np.zeros(len(self._kinds), dtype=bool)

    def step(self, readings: Floats) -> Floats:
        """Return the readings, shape (c,), NaN where the channel is frozen."""
        present = ~np.isnan(readings)
        self._first = np.where(np.isnan(self._first), readings, self._first)
        self._moved |= present & (readings != self._first)
        self._count += present
        resting = self._moved | at_rest(self._kinds, self._first)
        frozen = ~resting & (self._count >= FROZEN_SAMPLES)
        return np.where(frozen, np.nan, readings)

    def state(self) -> dict[str, Any]:
        """All that later rows depend on, as plain values."""
        return {
            "first": self._first.tolist(),
            "count": self._count.tolist(),
            "moved": self._moved.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._first = np.array(state["first"], dtype=np.float64)
        self._count = np.array(state["count"], dtype=np.int64)
        self._moved = np.array(state["moved"], dtype=bool)


class InputWindows:
    """Makes the model's inputs from rows of readings.

    Parameters
    ----------
    plan : how features are made.
    scaler : the one in force at the site.
    schema : the channels.

    `samples`, rows of a window, `position`, rows of the stretch so far that no baseline took, and
    `in_baseline`, whether one took the last row, are attributes.
    """

    def __init__(self, plan: FeaturePlan, scaler: Scaler, schema: Schema) -> None:
        self._plan, self._scaler = plan, scaler
        self.samples, self._step = plan.spec.rows(schema)
        self._unread = np.array([name in plan.unread for name in plan.names])
        rows = plan.spec.baseline
        self._baseline = RunningBaseline(schema, rows) if rows else None
        self.position, self.in_baseline = 0, False
        self._rows: deque[Floats] = deque(maxlen=self.samples)
        self._scaled: deque[NDArray[np.float32]] = deque(maxlen=plan.window)

    def restart(self, recording: bool = True) -> None:
        """Begin a stretch; `recording` says whether it is of another recording."""
        if self._baseline and recording:
            self._baseline.restart()
        self.position = 0
        self._rows.clear()
        self._scaled.clear()

    def step(self, readings: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Take in a row, shape (c,); return a time step where one ends with it.

        None ends with a row of a recording's baseline.

        Returns
        -------
        Features in physical units, shape (d,), and the model's input, shape (1, w*d).
        """
        self.in_baseline = self._baseline is not None and self._baseline.takes(readings)
        if self.in_baseline:
            return None
        self._rows.append(readings)
        complete = self.position - (self.samples - 1)
        self.position += 1
        if complete < 0 or complete % self._step:
            return None
        rows = np.array(self._rows)  # shape: (samples, c)
        features = shown = self._features(rows)
        if self._baseline:
            shown = self._features(self._baseline.apply(rows))
        scaled = self._scaler.transform(np.where(self._unread, np.nan, shown)[None, :])[0]
        # The first step of a stretch stands for those before it.
        self._scaled.extend([scaled] * (1 if self._scaled else self._plan.window))
        return features, np.concatenate(self._scaled)[None, :]

    def state(self) -> dict[str, Any]:
        """All that later rows depend on, as plain values."""
        return {
            "position": self.position,
            "rows": [row.tolist() for row in self._rows],
            "scaled": [row.tolist() for row in self._scaled],
            **({"baseline": self._baseline.state()} if self._baseline else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.position = state["position"]
        rows = [np.array(row, dtype=np.float64) for row in state["rows"]]
        self._rows = deque(rows, maxlen=self.samples)
        scaled = [np.array(row, dtype=np.float32) for row in state["scaled"]]
        self._scaled = deque(scaled, maxlen=self._plan.window)
        if self._baseline:
            self._baseline.restore(state["baseline"])

    def expected(self, scaled: Floats) -> Floats:
        """Turn what a model expects, shape (d,), into the features' units; NaN where none has any.

        Of a feature that nobody had a reading of the federation knows no scale.
        """
        shown = np.where(self._unread, np.nan, self._scaler.inverse(scaled))
        return self._baseline.undo(shown, self._plan.spec.statistics) if self._baseline else shown

    def _features(self, rows: Floats) -> NDArray[np.float32]:
        # A channel's samples side by side in memory, as where whole recordings are cut into
        # windows: sums then add up in the same order.
        samples = np.ascontiguousarray(rows.T)  # shape: (c, samples)
        found = [STATISTICS[name](samples) for name in self._plan.spec.statistics]
        return np.concatenate(found).astype(np.float32)


class TrailingMean:
    """Mean of the last `steps` rows of a stretch, fewer at its start."""

    def __init__(self, steps: int) -> None:
        self._rows: deque[Floats] = deque(maxlen=steps)

    def restart(self) -> None:
        """Begin a stretch."""
        self._rows.clear()

    def step(self, row: Floats) -> Floats:
        """Take in a row, shape (k,); return the mean, shape (k,)."""
        self._rows.append(row)
        return np.asarray(np.mean(self._rows, axis=0))

    def state(self) -> Sequence[Sequence[float]]:
        """All that later rows depend on, as plain values."""
        return [row.tolist() for row in self._rows]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from a `state`."""
        rows = [np.array(row, dtype=np.float64) for row in state]
        self._rows = deque(rows, maxlen=self._rows.maxlen)
