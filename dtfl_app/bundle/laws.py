"""Physical evidence row by row: the plant's laws on each hour's readings as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import PHYSICAL
from twin.ctown.laws import BALANCE_HOURS, DMAS, SLOTS, STATIONS, PlantLaws
from twin.ctown.scada import LINKS

__all__ = ["LawStream", "Physics"]

Floats = NDArray[np.float64]

_HOUR_NS = 3_600_000_000_000
_SECOND_NS = 1_000_000_000
# 1970-01-01 was a Thursday.
_EPOCH_SLOT = 3 * 24


@dataclass(frozen=True, slots=True, eq=False)
class Physics:
    """What physical evidence needs of the plants that a model was made for.

    Parameters
    ----------
    plants : site -> its plant's laws; "" where all sites are of one plant.
    expected : mean demand in L/s by district and hour of the week, shape (5, 168); None where the
        balance is no evidence.
    """

    plants: Mapping[str, PlantLaws]
    expected: Floats | None

    def laws(self, site: str) -> PlantLaws:
        """Return the laws of a site's plant; ConfigError where the model was made for others."""
        if "" in self.plants:
            return self.plants[""]
        if site not in self.plants:
            raise ConfigError(
                f"--site {site or '(not given)'}: this model's physical evidence knows the plants "
                f"of {', '.join(self.plants)}; name one of them"
            )
        return self.plants[site]

    def to_mapping(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "plants": {site: laws.to_mapping() for site, laws in sorted(self.plants.items())},
            "expected": None if self.expected is None else self.expected.tolist(),
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Physics:
        """Inverse of `to_mapping`."""
        expected = plain["expected"]
        return cls(
            {site: PlantLaws.from_mapping(laws) for site, laws in plain["plants"].items()},
            None if expected is None else np.array(expected, dtype=np.float64),
        )


class LawStream:
    """Applies a plant's laws to one row after the other.

    Parameters
    ----------
    laws : the plant's.
    expected : see `Physics`.
    kinds : kinds of evidence that are wanted; those that no law gives are left to others.
    names : channels, in the order of a row's readings.
    """

    def __init__(
        self, laws: PlantLaws, expected: Floats | None, kinds: Sequence[str], names: Sequence[str]
    ) -> None:
        self._laws, self._expected, self._names = laws, expected, tuple(names)
        self._kinds = tuple(kind for kind in kinds if kind in PHYSICAL)
        self._last: int | None = None
        self._before = np.full(len(names), np.nan)
        self._held = np.zeros(len(LINKS))
        self._hourly: deque[Floats] = deque(maxlen=BALANCE_HOURS)

    def restart(self) -> None:
        """Forget all that was before: the next row begins a stretch."""
        self._last = None

    def step(self, time: int, readings: Floats) -> dict[str, Floats]:
        """Return what each law finds in the row of `time` (ns since 1970), kind -> (c,), >= 0."""
        begins = self._last is None or time // _SECOND_NS - self._last // _SECOND_NS != 3600
        if begins:
            self._before = readings
            self._held = np.zeros(len(LINKS))
            self._hourly.clear()
        now, before = self._columns(readings), self._columns(self._before)
        found: dict[str, Floats] = {}
        for kind in self._kinds:
            if kind == "plc":
                found[kind] = self._contradictions(now, before)
            elif kind == "pump":
                missed = [self._laws.missed_head(tank, now) for tank in STATIONS]
                found[kind] = np.abs(np.concatenate(missed))
            else:
                found[kind] = self._imbalance(time, now, before, begins)
        self._last, self._before = time, readings
        return found

    def state(self) -> dict[str, Any]:
        """All that later rows depend on, as plain values."""
        return {
            "last": self._last,
            "before": self._before.tolist(),
            "held": self._held.tolist(),
            "hourly": [row.tolist() for row in self._hourly],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._last = state["last"]
        self._before = np.array(state["before"], dtype=np.float64)
        self._held = np.array(state["held"], dtype=np.float64)
        rows = [np.array(row, dtype=np.float64) for row in state["hourly"]]
        self._hourly = deque(rows, maxlen=BALANCE_HOURS)

    def _columns(self, readings: Floats) -> dict[str, Floats]:
        return {name: readings[i : i + 1] for i, name in enumerate(self._names)}

    def _contradictions(self, now: Mapping[str, Floats], before: Mapping[str, Floats]) -> Floats:
        for column, link in enumerate(LINKS):
            beyond, ends = self._laws.contradiction(link, now, before)
            held = 0.0 if ends[0] else self._held[column]
            self._held[column] = max(held, beyond[0])
        return self._held.copy()

    def _imbalance(
        self, time: int, now: Mapping[str, Floats], before: Mapping[str, Floats], begins: bool
    ) -> Floats:
        assert self._expected is not None
        hour = np.zeros(len(DMAS))
        if not begins:
            slot = np.array([((time - _HOUR_NS) // _HOUR_NS + _EPOCH_SLOT) % SLOTS])
            for row, name in enumerate(DMAS):
                missed = self._laws.imbalance(name, now, before, self._expected[row], slot)[0]
                hour[row] = 0.0 if np.isnan(missed) else missed
        self._hourly.append(hour)
        return np.asarray(np.abs(np.mean(self._hourly, axis=0)))
