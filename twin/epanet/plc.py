"""A plant's programmable logic controllers (PLCs): two-point control of pumps and valves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PlcRack", "SetPoint", "next_status"]


@dataclass(frozen=True, slots=True)
class SetPoint:
    """PLC rule of one pump or valve: open below `on_below` m, close above `off_above` m."""

    tank: str
    on_below: float
    off_above: float


def next_status(rule: SetPoint, level: float, status: bool) -> bool:
    """Return whether the link is on after one decision.

    on if level <= on_below; off if level >= off_above; otherwise as before. Both bounds are
    included because a full tank stays exactly at its highest level: with off_above there, a
    strict comparison would never switch off. Where both hold (on_below >= off_above), off wins:
    the safe side of a level control.

    Parameters
    ----------
    rule : set-points in m.
    level : tank level that the PLC received, in m.
    status : whether the link is on before.
    """
    if level >= rule.off_above:
        return False
    return level <= rule.on_below or status


class PlcRack:
    """All PLCs of the plant: one rule per controlled link, and the link's last status.

    Parameters
    ----------
    rules : link -> set-points. Links without a rule are none of the rack's business.
    """

    def __init__(self, rules: Mapping[str, SetPoint]) -> None:
        self.status = dict.fromkeys(rules, False)

    def decide(
        self, rules: Mapping[str, SetPoint], readings: Mapping[str, float]
    ) -> dict[str, bool]:
        """Decide once on the tank levels received, in m, and remember the outcome per link."""
        for link, rule in rules.items():
            self.status[link] = next_status(rule, readings[rule.tank], self.status[link])
        return dict(self.status)
