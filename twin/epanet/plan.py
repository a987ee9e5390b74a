"""Draw scenarios: stretches of normal operation, and stretches with attacks and faults in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from twin.base import Event, Scenario
from twin.epanet.concealment import SCOPES, WAYS, replay_lag
from twin.epanet.effects import Assets, pick
from twin.epanet.events import Kinds, kinds_of
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
    name: str, assets: Assets, table: Kinds, size: tuple[int, int, int], families: Sequence[str]
) -> list[Scenario]:
    """Draw scenarios of a plant with these assets; `size` is (count, hours each, seed).

    One in four is normal throughout, all of them when `families` is empty. The others hold one
    event per started week; the kinds that `families` name take turns in random order, so each
    occurs about equally often. Raises TwinError for an unknown family, a count or seed below 0,
    or fewer hours than an event needs.

    Parameters
    ----------
    name : what the scenarios' names begin with.
    table : the kinds that can happen there; each must have a target.
    """
    count, hours, seed = size
    kinds = kinds_of(families, table)
    if families and not kinds:
        raise TwinError(
            f"plan: this plant has nothing that {list(families)} could act on; expected some of "
            f"{', '.join(table)}"
        )
    shortest = 2 * _SHORTEST_H if kinds else 1
    if count < 0 or seed < 0 or hours < shortest:
        raise TwinError(
            f"plan: count {count}, seed {seed}, hours {hours}; expected count and seed of at "
            f"least 0 and hours of at least {shortest}"
        )
    rng = np.random.default_rng(seed)
    deck = _Deck({kind: table[kind] for kind in kinds}, rng)
    normal = set(rng.permutation(count)[: round(count * _NORMAL_PART)].tolist())
    return [
        Scenario(
            name=f"{name}-{seed}-{index:04d}",
            hours=hours,
            seed=int(rng.integers(2**32)),
            events=_events(assets, hours, deck, rng) if kinds and index not in normal else (),
        )
        for index in range(count)
    ]


class _Deck:
    """Deals kinds in random order, each once before any comes again."""

    def __init__(self, kinds: Kinds, rng: np.random.Generator) -> None:
        self.kinds, self._kinds, self._rng = kinds, tuple(kinds), rng
        self._left: list[str] = []

    def deal(self) -> str:
        if not self._left:
            self._left = [self._kinds[i] for i in self._rng.permutation(len(self._kinds))]
        return self._left.pop()


def _events(assets: Assets, hours: int, deck: _Deck, rng: np.random.Generator) -> tuple[Event, ...]:
    """Put one event into the later part of each slot, so that normal hours come before it."""
    slots = max(hours // _SLOT_H, 1)
    bounds = np.linspace(0, hours, slots + 1).astype(int)
    return tuple(
        _event(assets, int(first), int(last), deck, rng) for first, last in pairwise(bounds)
    )


def _event(assets: Assets, first: int, last: int, deck: _Deck, rng: np.random.Generator) -> Event:
    kind = deck.deal()
    longest = min(_LONGEST_H, (last - first) // 2)
    length = int(rng.integers(_SHORTEST_H, longest + 1))
    # At least as many hours of the slot before the event as it lasts: they can be replayed.
    start = int(rng.integers(first + length, last - length + 1))
    target, strength = deck.kinds[kind].draw(assets, rng)
    event = Event(kind, target, start, length, strength)
    return event if deck.kinds[kind].family == "fault" else _concealed(event, rng)


def _concealed(event: Event, rng: np.random.Generator) -> Event:
    if rng.random() >= _CONCEALED_PART:
        return event
    ways = WAYS if event.start_h >= replay_lag(event.hours) else WAYS[1:]
    way, scope = pick(ways, rng), pick(SCOPES, rng)
    conceal = f"{way}+{scope}" if scope else way
    return replace(event, conceal=conceal)
