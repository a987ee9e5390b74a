"""Concealment: an attacker rewrites what the SCADA records. The physics are not touched.

`Event.conceal` is a way of rewriting, optionally followed by a scope: "replay", "offset+pumps",
"replay+station".

========  =====================================================================
way       what the SCADA shows during the event
========  =====================================================================
replay    the same channel a whole number of days earlier, before the event
constant  the last value before the event
offset    the true value, shifted so that its mean is that of the day before
ramp      a straight line from the last value before to the last one during it
========  =====================================================================

Scope: the level of the tank concerned; "+pumps" adds flow and status of the links that fill it;
"+station" adds the pressures at their inlet and outlet too. Where a link fills no tank, its own
flow and status are concealed. Status channels know no offset and no ramp: they show the last value
before the event instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin.base import Event
from twin.errors import TwinError

__all__ = [
    "SCOPES",
    "WAYS",
    "Stations",
    "check_concealment",
    "conceal",
    "concealed_channels",
    "replay_lag",
]

FloatArray = npt.NDArray[np.float64]

WAYS = ("replay", "constant", "offset", "ramp")
SCOPES = ("", "pumps", "station")
_DAY_H = 24


@dataclass(frozen=True, slots=True)
class Stations:
    """What belongs together at a tank, for an attacker who conceals what he does there.

    Parameters
    ----------
    fills : tank -> links that fill it.
    pressures : tank -> junctions with a pressure sensor at those links.
    """

    fills: Mapping[str, tuple[str, ...]]
    pressures: Mapping[str, tuple[str, ...]]

    def tank_of(self, target: str) -> str:
        """Return the tank itself, or the tank that a link fills; "" if it fills none."""
        if target in self.fills:
            return target
        return next((tank for tank, links in self.fills.items() if target in links), "")


def replay_lag(hours: int) -> int:
    """Return how many hours back a replay of `hours` reaches: whole days, to keep the time."""
    return -(-hours // _DAY_H) * _DAY_H


def check_concealment(event: Event) -> None:
    """Raise TwinError unless the way and scope exist and enough hours lie before the event."""
    way, _, scope = event.conceal.partition("+")
    if way not in WAYS or scope not in SCOPES or event.conceal.endswith("+"):
        raise TwinError(
            f"{event.kind} on {event.target}: concealment {event.conceal!r} is unknown; expected "
            f"one of {', '.join(WAYS)}, alone or with '+pumps' or '+station'"
        )
    needed = replay_lag(event.hours) if way == "replay" else 1
    if event.start_h < needed:
        raise TwinError(
            f"{event.kind} on {event.target}: concealment {event.conceal!r} needs {needed} h "
            f"before the event, which starts at hour {event.start_h}; start it later"
        )


def concealed_channels(event: Event, stations: Stations) -> tuple[str, ...]:
    """Return the channels that the event's concealment rewrites."""
    tank, scope = stations.tank_of(event.target), event.conceal.partition("+")[2]
    channels = [f"L_{tank}"] if tank else []
    if scope or not tank:
        links = stations.fills[tank] if tank else (event.target,)
        channels += [f"{quantity}_{link}" for link in links for quantity in "FS"]
    if scope == "station" and tank:
        channels += [f"P_{node}" for node in stations.pressures[tank]]
    return tuple(channels)


def conceal(values: FloatArray, event: Event, names: Sequence[str], stations: Stations) -> None:
    """Rewrite the event's rows of `values` in place. shape: (hours, one column per name)."""
    way = event.conceal.partition("+")[0]
    start, end = event.start_h, min(event.start_h + event.hours, len(values))
    for name in concealed_channels(event, stations):
        column = values[:, names.index(name)]
        if way == "replay":
            lag = replay_lag(event.hours)
            column[start:end] = column[start - lag : end - lag]
        elif way == "constant" or name.startswith("S_"):
            column[start:end] = column[start - 1]
        elif way == "offset":
            usual = column[max(start - _DAY_H, 0) : start].mean()
            column[start:end] += usual - column[start:end].mean()
        else:
            column[start:end] = np.linspace(column[start - 1], column[end - 1], end - start)
