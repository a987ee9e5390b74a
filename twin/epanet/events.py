"""What can happen to a plant: the table of event kinds, checks of a scenario, and its labels.

Kinds and their effects are in ``attacks`` and ``faults``; each kind's docstring says what it does,
what it takes as target and what its strength means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.base import Event, Scenario
from twin.epanet.attacks import ATTACKS
from twin.epanet.concealment import check_concealment
from twin.epanet.effects import Assets, Effect
from twin.epanet.faults import FAULTS
from twin.errors import TwinError
from twin.schema import ABNORMAL, EVENT, INSTANCE, LABEL, NORMAL, TIME

__all__ = [
    "KINDS",
    "Kinds",
    "build_effects",
    "check_scenario",
    "event_id",
    "kinds_of",
    "labelled",
]

Kinds = Mapping[str, type[Effect]]

#: Kind -> effect, attacks first: what can happen in any plant.
KINDS: Kinds = {**ATTACKS, **FAULTS}

#: Keeps the events' random numbers apart from the plant's, which use [seed, 0..2].
_EVENT_STREAM = 3


def event_id(event: Event, index: int) -> str:
    """Return the stable name of event number `index` of a scenario, e.g. "leak:J10#0"."""
    return f"{event.kind}:{event.target}#{index}"


def kinds_of(families: Iterable[str], kinds: Kinds) -> tuple[str, ...]:
    """Return those of `kinds` that `families` name, in the table's order.

    A family is a kind ("leak"), or "attack" or "fault" for all kinds of that sort. Raises
    TwinError for anything else.
    """
    wanted = set(families)
    unknown = sorted(wanted - {"attack", "fault", *kinds})
    if unknown:
        raise TwinError(f"event families {unknown} are unknown; expected {', '.join(kinds)}")
    return tuple(k for k, effect in kinds.items() if {k, effect.family} & wanted)


def check_scenario(scenario: Scenario, assets: Assets, kinds: Kinds) -> None:
    """Raise TwinError unless the scenario can be simulated on a plant with these assets."""
    where = f"scenario {scenario.name!r}"
    if scenario.hours < 1 or scenario.seed < 0:
        raise TwinError(
            f"{where}: hours {scenario.hours}, seed {scenario.seed}; expected hours of at least 1 "
            "and a seed of at least 0"
        )
    for index, event in enumerate(scenario.events):
        try:
            _check_event(event, scenario.hours, assets, kinds)
        except TwinError as error:
            raise TwinError(f"{where}, event {index}: {error}") from error


def _check_event(event: Event, hours: int, assets: Assets, kinds: Kinds) -> None:
    if event.kind not in kinds:
        raise TwinError(f"kind {event.kind!r} is unknown; expected {', '.join(kinds)}")
    kinds[event.kind].check(event, assets)
    if event.hours < 1 or event.start_h < 0 or event.start_h + event.hours > hours:
        raise TwinError(
            f"{event.kind} on {event.target}: hours {event.start_h} to "
            f"{event.start_h + event.hours} are not within the scenario's {hours}"
        )
    if event.conceal:
        check_concealment(event)


def build_effects(events: Sequence[Event], seed: int, kinds: Kinds) -> list[Effect]:
    """Return the effects of a scenario's events, each with random numbers of its own."""
    return [
        kinds[event.kind](event, np.random.default_rng([seed, _EVENT_STREAM, index]))
        for index, event in enumerate(events)
    ]


def labelled(
    values: npt.NDArray[np.float64], names: Sequence[str], scenario: Scenario, start: pd.Timestamp
) -> pd.DataFrame:
    """Return hourly values as the scenario's labelled series. shape of values: (hours, channels)"""
    ids: list[list[str]] = [[] for _ in range(scenario.hours)]
    for index, event in enumerate(scenario.events):
        for found in ids[event.start_h : event.start_h + event.hours]:
            found.append(event_id(event, index))
    series = pd.DataFrame(values, columns=list(names))
    series.insert(0, INSTANCE, scenario.name)
    series.insert(1, TIME, pd.date_range(start, periods=scenario.hours, freq="h", unit="ns"))
    series[LABEL] = np.array([ABNORMAL if found else NORMAL for found in ids], dtype=np.int8)
    series[EVENT] = ["+".join(found) for found in ids]
    return series
