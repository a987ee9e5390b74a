"""Physical evidence row by row: the plant's laws on each hour's readings as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import LawEvidence
from twin.ctown.laws import PlantLaws, slot_before
from twin.epanet.hourly import Hour

__all__ = ["LawStream", "Physics"]

Floats = NDArray[np.float64]

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Physics:
    """What physical evidence needs of the plants that a model was made for.

    Parameters
    ----------
    plants : site -> its plant's laws; "" where all sites are of one plant.
    expected : mean demand in L/s by district and hour of the week, shape (5, 168); None where no
        law needs it.
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
    kinds : the laws that are wanted as evidence.
    names : channels, in the order of a row's readings.
    """

    def __init__(
        self,
        laws: PlantLaws,
        expected: Floats | None,
        kinds: Sequence[LawEvidence],
        names: Sequence[str],
    ) -> None:
        self._laws, self._expected, self._names = laws, expected, tuple(names)
        self._kinds = tuple(kinds)
        self._last: int | None = None
        self._before = np.full(len(names), np.nan)
        self._kept = self._nothing_kept()

    def restart(self) -> None:
        """Forget all that was before: the next row begins a stretch."""
        self._last = None

    def step(self, time: int, readings: Floats) -> dict[str, Floats]:
        """Return what each law finds in the row of `time` (ns since 1970), kind -> signed, (c,)."""
        if self._last is None or time // _SECOND_NS - self._last // _SECOND_NS != 3600:
            self._before = readings
            self._kept = self._nothing_kept()
        hour = Hour(
            self._columns(readings), self._columns(self._before), slot_before(np.array([time]))
        )
        found = {}
        for kind in self._kinds:
            found[kind.name], self._kept[kind.name] = kind.on_hour(
                self._laws, hour, self._kept[kind.name], self._expected
            )
        self._last, self._before = time, readings
        return found

    def state(self) -> dict[str, Any]:
        """All that later rows depend on, as plain values."""
        return {
            "last": self._last,
            "before": self._before.tolist(),
            "kept": {name: rows.tolist() for name, rows in self._kept.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._last = state["last"]
        self._before = np.array(state["before"], dtype=np.float64)
        for kind in self._kinds:
            rows = np.array(state["kept"][kind.name], dtype=np.float64)
            self._kept[kind.name] = rows.reshape(-1, len(kind.channels))

    def _nothing_kept(self) -> dict[str, Floats]:
        return {kind.name: np.zeros((0, len(kind.channels))) for kind in self._kinds}

    def _columns(self, readings: Floats) -> dict[str, Floats]:
        return {name: readings[i : i + 1] for i, name in enumerate(self._names)}
