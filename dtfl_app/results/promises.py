"""False alarms of a run's last models: the share that was observed, against the one wanted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CALIBRATION", "PROMISE_HEAD", "Promise", "promises", "read_promises"]

#: Name of the file in the folder of a run.
CALIBRATION = "calibration.json"
#: Head of the column that `Promise.text` stands in.
PROMISE_HEAD = "false alarms (wanted)"

# Within it lie plants that drift and short recordings; beyond it the alarms say nothing.
_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Promise:
    """What became of a strategy's false-alarm rate over all settled normal steps.

    Parameters
    ----------
    wanted, observed : shares of the settled normal steps with an alarm, in [0, 1].
    steps : how many such steps there were, at least 1.
    """

    wanted: float
    observed: float
    steps: int

    @property
    def broken(self) -> bool:
        """Whether observed is off by more than a factor of ten, beyond the chance of one alarm."""
        alarms, expected = self.observed * self.steps, self.wanted * self.steps
        return not expected / _FACTOR - 1 <= alarms <= _FACTOR * expected + 1

    @property
    def text(self) -> str:
        """Observed and wanted in %, for a table."""
        return f"{self.observed_text} ({100 * self.wanted:g}%)"

    @property
    def observed_text(self) -> str:
        """Observed alone, for a table whose head says what was wanted."""
        return f"{100 * self.observed:.2f}%"

    def describe(self) -> str:
        """Say of a promise that is broken what it means."""
        meaning = (
            "most of its alarms may be false"
            if self.observed > self.wanted
            else "its threshold lies too high, and it may miss events"
        )
        return (
            f"the promised false-alarm rate is broken by more than a factor of {_FACTOR:g}: "
            f"{self.observed_text} of {self.steps} settled normal steps had an alarm, "
            f"{100 * self.wanted:g}% were wanted; {meaning}"
        )


def promises(entries: Iterable[Mapping[str, Any]], wanted: float) -> dict[str, Promise]:
    """Pool the sites of calibration.json: strategy -> what became of the rate `wanted`.

    A strategy without that rate, or without a settled normal step, is left out.
    """
    alarms: dict[str, float] = {}
    steps: dict[str, int] = {}
    for entry in entries:
        name, count = str(entry["strategy"]), int(entry["normal_steps"])
        if count and entry["observed"] is not None and math.isclose(entry["wanted"], wanted):
            alarms[name] = alarms.get(name, 0.0) + entry["observed"] * count
            steps[name] = steps.get(name, 0) + count
    return {name: Promise(wanted, alarms[name] / n, n) for name, n in steps.items()}


def read_promises(folder: Path, wanted: float) -> dict[str, Promise]:
    """Return `promises` of a run's folder; {} where it has no calibration.json."""
    path = folder / CALIBRATION
    return promises(json.loads(path.read_text()), wanted) if path.is_file() else {}
