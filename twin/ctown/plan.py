"""Draw scenarios: stretches of normal operation, and stretches with attacks and faults in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from twin.base import Event, Scenario
from twin.ctown.concealment import SCOPES, WAYS, replay_lag
from twin.ctown.effects import pick
from twin.ctown.events import KINDS, kinds_of
from twin.ctown.network import Network
from twin.ctown.plant import PlantModel
from twin.errors import TwinError

__all__ = ["plan_scenarios"]

#: Part of the scenarios that hold no event even when kinds are asked for.
_NORMAL_PART = 0.25
#: An event and the calm before it share a slot of about this many hours.
_SLOT_H = 168
#: Longest event, as in BATADAL (119 h), and shortest, in hours.
_LONGEST_H, _SHORTEST_H = 120, 12
_CONCEALED_PART = 0.5


def plan_scenarios(
    plant: PlantModel,
    network: Network,
    count: int,
    hours: int,
    seed: int,
    families: Sequence[str],
) -> list[Scenario]:
    """Draw `count` scenarios of `hours` each from `seed`.

    One in four is normal throughout, all of them when `families` is empty. The others hold one
    event per started week; the kinds that `families` name take turns in random order, so each
    occurs about equally often. Raises TwinError for an unknown family, a count or seed below 0,
    or fewer hours than an event needs.
    """
    kinds = kinds_of(families)
    shortest = 2 * _SHORTEST_H if kinds else 1
    if count < 0 or seed < 0 or hours < shortest:
        raise TwinError(
            f"plan: count {count}, seed {seed}, hours {hours}; expected count and seed of at "
            f"least 0 and hours of at least {shortest}"
        )
    rng = np.random.default_rng(seed)
    deck = _Deck(kinds, rng)
    normal = set(rng.permutation(count)[: round(count * _NORMAL_PART)].tolist())
    return [
        Scenario(
            name=f"ctown-{seed}-{index:04d}",
            hours=hours,
            seed=int(rng.integers(2**32)),
            events=_events(plant, network, hours, deck, rng)
            if kinds and index not in normal
            else (),
        )
        for index in range(count)
    ]


class _Deck:
    """Deals kinds in random order, each once before any comes again."""

    def __init__(self, kinds: tuple[str, ...], rng: np.random.Generator) -> None:
        self._kinds, self._rng = kinds, rng
        self._left: list[str] = []

    def deal(self) -> str:
        if not self._left:
            self._left = [self._kinds[i] for i in self._rng.permutation(len(self._kinds))]
        return self._left.pop()


def _events(
    plant: PlantModel, network: Network, hours: int, deck: _Deck, rng: np.random.Generator
) -> tuple[Event, ...]:
    """Put one event into the later part of each slot, so that normal hours come before it."""
    slots = max(hours // _SLOT_H, 1)
    bounds = np.linspace(0, hours, slots + 1).astype(int)
    return tuple(
        _event(plant, network, int(first), int(last), deck.deal(), rng)
        for first, last in pairwise(bounds)
    )


def _event(
    plant: PlantModel, network: Network, first: int, last: int, kind: str, rng: np.random.Generator
) -> Event:
    longest = min(_LONGEST_H, (last - first) // 2)
    length = int(rng.integers(_SHORTEST_H, longest + 1))
    # At least as many hours of the slot before the event as it lasts: they can be replayed.
    start = int(rng.integers(first + length, last - length + 1))
    target, strength = KINDS[kind].draw(plant, network, rng)
    event = Event(kind, target, start, length, strength)
    return event if KINDS[kind].family == "fault" else _concealed(event, rng)


def _concealed(event: Event, rng: np.random.Generator) -> Event:
    if rng.random() >= _CONCEALED_PART:
        return event
    ways = WAYS if event.start_h >= replay_lag(event.hours) else WAYS[1:]
    way, scope = pick(ways, rng), pick(SCOPES, rng)
    conceal = f"{way}+{scope}" if scope else way
    return replace(event, conceal=conceal)
