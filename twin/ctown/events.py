"""The table of everything that can happen to the C-Town plant.

Kinds and their effects are in ``attacks`` and ``faults``; each kind's docstring says what it does,
what it takes as target and what its strength means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from twin.base import Event, Scenario
from twin.ctown.attacks import ATTACKS
from twin.ctown.concealment import check_concealment
from twin.ctown.effects import Effect
from twin.ctown.faults import FAULTS
from twin.ctown.network import Network
from twin.errors import TwinError

__all__ = ["KINDS", "build_effects", "check_scenario", "event_id", "kinds_of"]

#: Kind -> effect, attacks first.
KINDS: Mapping[str, type[Effect]] = {**ATTACKS, **FAULTS}


def event_id(event: Event, index: int) -> str:
    """Return the stable name of event number `index` of a scenario, e.g. "leak:J10#0"."""
    return f"{event.kind}:{event.target}#{index}"


def kinds_of(families: Iterable[str]) -> tuple[str, ...]:
    """Return the event kinds that `families` name, in the table's order.

    A family is a kind ("leak"), or "attack" or "fault" for all kinds of that sort. Raises
    TwinError for anything else.
    """
    wanted = set(families)
    unknown = sorted(wanted - {"attack", "fault", *KINDS})
    if unknown:
        raise TwinError(f"event families {unknown} are unknown; expected {_known()}")
    return tuple(k for k, effect in KINDS.items() if {k, effect.family} & wanted)


def check_scenario(scenario: Scenario, network: Network) -> None:
    """Raise TwinError unless the scenario can be simulated on `network`."""
    where = f"scenario {scenario.name!r}"
    if scenario.hours < 1 or scenario.seed < 0:
        raise TwinError(
            f"{where}: hours {scenario.hours}, seed {scenario.seed}; expected hours of at least 1 "
            "and a seed of at least 0"
        )
    for index, event in enumerate(scenario.events):
        try:
            _check_event(event, scenario.hours, network)
        except TwinError as error:
            raise TwinError(f"{where}, event {index}: {error}") from error


def _check_event(event: Event, hours: int, network: Network) -> None:
    if event.kind not in KINDS:
        raise TwinError(f"kind {event.kind!r} is unknown; expected {_known()}")
    KINDS[event.kind].check(event, network)
    if event.hours < 1 or event.start_h < 0 or event.start_h + event.hours > hours:
        raise TwinError(
            f"{event.kind} on {event.target}: hours {event.start_h} to "
            f"{event.start_h + event.hours} are not within the scenario's {hours}"
        )
    if event.conceal:
        check_concealment(event)


def _known() -> str:
    return ", ".join(KINDS)


def build_effects(events: Sequence[Event], seed: int) -> list[Effect]:
    """Return the effects of a scenario's events, each with random numbers of its own."""
    return [
        KINDS[event.kind](event, np.random.default_rng([seed, _EVENT_STREAM, index]))
        for index, event in enumerate(events)
    ]


#: Keeps the events' random numbers apart from the plant's, which use [seed, 0..2].
_EVENT_STREAM = 3
