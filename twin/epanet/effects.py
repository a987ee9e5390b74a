"""What one event can do to the plant while it lasts: the hooks that a simulation calls.

An attack acts between sensor and PLC, on a PLC or on an actuator; a fault acts on the pipes, on an
actuator or on a sensor. Every kind overrides the one or two hooks it needs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from twin.base import Event
from twin.epanet.plc import SetPoint
from twin.errors import TwinError

__all__ = ["Assets", "Choice", "Effect", "Family", "either_sign", "pick", "uniform"]

Family = Literal["attack", "fault"]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Assets:
    """What events can act on in one plant, and how large an event is that matters there.

    Parameters
    ----------
    tanks : tanks whose level switches a pump or a valve.
    pumps, duty, idle : all pumps, those that run in normal operation, and those that stand by.
    valves, switched_valves : valves that can be held open or closed, and those that PLCs switch.
    junctions, leaks : junctions that can lose water, and those that a plan chooses from.
    sensors : channel that may break -> size of a fault of its sensor, in its unit.
    lively : sensors whose reading changes in normal operation.
    lowest_on : tank -> lowest level at which a link is switched on, in m.
    shift : tank -> least and greatest change of level that a plan chooses, in m.
    loss_lps : least and greatest leak that a plan chooses, in L/s.
    """

    tanks: tuple[str, ...]
    pumps: tuple[str, ...]
    duty: tuple[str, ...]
    idle: tuple[str, ...]
    valves: tuple[str, ...]
    switched_valves: tuple[str, ...]
    junctions: tuple[str, ...]
    leaks: tuple[str, ...]
    sensors: Mapping[str, float]
    lively: tuple[str, ...]
    lowest_on: Mapping[str, float]
    shift: Mapping[str, Span]
    loss_lps: Span


class Choice(NamedTuple):
    """Target and strength that a plan draws for an event."""

    target: str
    strength: float


class Effect(ABC):
    """One event at work. Hooks are called only from its first hour until before its end.

    Parameters
    ----------
    event : what happens.
    rng : the event's own random numbers, so that it never shifts those of the plant.
    """

    family: ClassVar[Family]
    #: What `Event.strength` means, with its unit.
    unit: ClassVar[str]
    #: Strengths that are accepted, both ends included.
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 0.0
    #: Whether strength 0 would do nothing and is refused.
    needs_strength: ClassVar[bool] = False
    #: Whether the event takes its target, a link, out of its PLC's hands.
    drives: ClassVar[bool] = False
    #: Whether the level that PLCs receive still moves as the measured one does.
    follows: ClassVar[bool] = True

    def __init__(self, event: Event, rng: np.random.Generator) -> None:
        self.event = event
        self.rng = rng

    @classmethod
    @abstractmethod
    def targets(cls, assets: Assets) -> tuple[str, ...]:
        """Return the targets this kind accepts."""

    @classmethod
    @abstractmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        """Draw a target and a strength that change what the plant does."""

    @classmethod
    def check(cls, event: Event, assets: Assets) -> None:
        """Raise TwinError unless target and strength are ones this kind accepts."""
        targets = cls.targets(assets)
        if event.target not in targets:
            shown = ", ".join(targets[:12]) + (", ..." if len(targets) > 12 else "")
            raise TwinError(f"{event.kind}: target {event.target!r} is unknown; expected {shown}")
        inside = cls.low <= event.strength <= cls.high
        if not inside or (cls.needs_strength and event.strength == 0.0):
            but = ", not 0" if cls.needs_strength else ""
            raise TwinError(
                f"{event.kind} on {event.target}: strength {event.strength} is out of range; "
                f"expected {cls.low:g} to {cls.high:g}{but}: {cls.unit}"
            )
        if event.conceal and cls.family != "attack":
            raise TwinError(f"{event.kind} on {event.target}: only attacks are concealed")

    def active(self, hour: float) -> bool:
        """Return whether the event is under way `hour` hours after the scenario's start."""
        return self.event.start_h <= hour < self.event.start_h + self.event.hours

    def progress(self, hour: float) -> float:
        """Return the part of the event that is over, in [0, 1)."""
        return (hour - self.event.start_h) / self.event.hours

    def threshold(self, tank: str, level: float) -> float:
        """Return what the PLCs compare the level of `tank` with instead of `level`, in m."""
        return level

    def rule(self, link: str, rule: SetPoint) -> SetPoint:
        """Return the set-points that the PLC of `link` works with."""
        on_below, off_above = (
            self.threshold(rule.tank, b) for b in (rule.on_below, rule.off_above)
        )
        return replace(rule, on_below=on_below, off_above=off_above)

    def reading(self, tank: str, level: float, hour: float) -> float:
        """Return the level of `tank` that the PLCs receive, in m."""
        return level

    def command(self, link: str, setting: float, before: float, hour: float) -> float:
        """Return what the actuator of `link` does: 0 = off or closed, 1 = on or open.

        `setting` is what its PLC orders, `before` what it did in the previous step; a pump may
        also run at a relative speed between 0 and 1.
        """
        return setting

    def recorded(self, channel: str, value: float, hour: float) -> float:
        """Return what the SCADA records of `channel`, in its unit; NaN = missing."""
        return value

    def leak(self) -> tuple[str, float] | None:
        """Return (junction, emitter coefficient in L/s per sqrt(m)) of a leak, if it is one."""
        return None

    def burst(self) -> tuple[str, float] | None:
        """Return (junction, extra demand in L/s), if it is one."""
        return None


def pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    """Draw one of `options`."""
    return options[int(rng.integers(len(options)))]


def uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """Draw from [low, high), rounded to 4 digits so that a scenario reads well as text."""
    return round(float(rng.uniform(low, high)), 4)


def either_sign(value: float, rng: np.random.Generator) -> float:
    """Return value or -value, with equal chances."""
    return math.copysign(value, rng.random() - 0.5)
