"""Drawing scenarios: which events, at what, when and how strong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from twin.base import Event, Scenario
from twin.errors import TwinError
from twin.schema import ABNORMAL, EVENT, INSTANCE, LABEL, TIME, Schema

__all__ = ["EventKind", "labelled", "plan_scenarios", "quiet_hours", "rows_of"]

#: Share of a scenario before the first event, so that a detector sees normal operation first.
_QUIET_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class EventKind:
    """One kind of event that a twin can simulate, and what may be drawn of it.

    Parameters
    ----------
    name : of the kind.
    targets : what it may act on, at least one.
    hours : shortest and longest duration, whole hours, 1 or more.
    strength : weakest and strongest, in the unit that the twin documents.

    Raises TwinError for bounds in the wrong order.
    """

    name: str
    targets: tuple[str, ...]
    hours: tuple[int, int] = (2, 24)
    strength: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        (short, long), (weak, strong) = self.hours, self.strength
        if not (self.targets and 1 <= short <= long and weak <= strong):
            raise TwinError(
                f"kind of event {self.name!r}: targets {list(self.targets)}, hours "
                f"{list(self.hours)}, strength {list(self.strength)}; expected one target or more, "
                "and the smaller bound before the larger"
            )


def quiet_hours(hours: int) -> int:
    """Return how many hours of a scenario pass before an event may begin."""
    return max(1, int(_QUIET_SHARE * hours))


def plan_scenarios(
    kinds: Sequence[EventKind], count: int, hours: int, seed: int, families: Sequence[str]
) -> list[Scenario]:
    """Draw `count` scenarios of `hours`, each with one event of `families`, none if that is empty.

    Raises TwinError for a family that is none of `kinds`, a count below 1, or too few hours for an
    event.
    """
    known = {kind.name: kind for kind in kinds}
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise TwinError(
            f"this twin simulates no event of kind {unknown[0]!r}; expected some of {sorted(known)}"
        )
    if count < 1 or hours < 4:
        raise TwinError(f"{count} scenarios of {hours} hours: expected 1 or more, of 4 or more")
    rng = np.random.default_rng(seed)
    drawn = []
    for number in range(count):
        own_seed = int(rng.integers(2**31))
        events = (_draw(known[str(rng.choice(families))], hours, rng),) if families else ()
        drawn.append(Scenario(f"s{number:04d}", hours, own_seed, events))
    return drawn


def _draw(kind: EventKind, hours: int, rng: np.random.Generator) -> Event:
    first = quiet_hours(hours)
    longest = min(kind.hours[1], hours - first)
    shortest = min(kind.hours[0], longest)
    lasts = int(rng.integers(shortest, longest + 1))
    begins = int(rng.integers(first, hours - lasts + 1))
    target = str(rng.choice(kind.targets))
    return Event(kind.name, target, begins, lasts, float(rng.uniform(*kind.strength)))


def rows_of(scenario: Scenario, schema: Schema) -> int:
    """Number of samples of a scenario; TwinError where its hours are no whole number of periods."""
    rows = scenario.hours * 3600 / schema.period_s
    if rows != round(rows):
        raise TwinError(
            f"scenario {scenario.name!r}: {scenario.hours} hours are no whole number of periods of "
            f"{schema.period_s:g} s"
        )
    return round(rows)


def labelled(readings: pd.DataFrame, scenario: Scenario, schema: Schema) -> pd.DataFrame:
    """Make a labelled series of readings: instance, time, label and event of every row.

    Parameters
    ----------
    readings : a column per channel, a row per sample, the first at the scenario's start.
    """
    series = readings[schema.names].astype(np.float64).reset_index(drop=True)
    offsets = np.arange(len(series)) * schema.period_s
    label, event = np.zeros(len(series), np.int8), np.full(len(series), "", dtype=object)
    for number, one in enumerate(scenario.events):
        during = (offsets >= one.start_h * 3600) & (offsets < (one.start_h + one.hours) * 3600)
        name = f"{one.kind}:{one.target}#{number}"
        event[during] = [f"{before}+{name}" if before else name for before in event[during]]
        label[during] = ABNORMAL
    start = np.datetime64("2024-01-01", "ns")
    series.insert(0, INSTANCE, pd.Series([scenario.name] * len(series), dtype="str"))
    series.insert(1, TIME, start + (offsets * 1e9).astype("timedelta64[ns]"))
    series[LABEL] = label
    series[EVENT] = pd.Series(event, dtype="str")
    return series
