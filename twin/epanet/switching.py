"""Events between sensor, PLC and actuator, where EPANET itself runs the controls and rules.

A PLC that receives another level than the true one, or compares it with another threshold, decides
as if its threshold lay elsewhere: EPANET's own thresholds are moved while the event lasts and put
back after it. A link that an event drives is taken out of the controls' hands for as long; what
they would have ordered is remembered, and is what it gets back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twin.epanet.effects import Effect
from twin.epanet.engine_rules import Control, Premise, Switchboard
from twin.epanet.network import Network

__all__ = ["Switching"]

_DAY_S = 86400
#: Beyond any level: a threshold that is always, or never, reached.
_FAR = 1e6


@dataclass(slots=True)
class _Driven:
    """A link in an event's hands: the state that its PLC orders, and the one that it is in."""

    ordered: float
    done: float = math.nan
    off: list[Control] = field(default_factory=list)


class Switching:
    """Applies the effects of a scenario to a running simulation, before each solve.

    Parameters
    ----------
    network : what is simulated.
    board : controls, rules and links of the running simulation.
    """

    def __init__(self, network: Network, board: Switchboard) -> None:
        self._network, self._board = network, board
        self._driven: dict[str, _Driven] = {}
        self._moved: set[str] = set()
        self._last_s = -1

    def apply(self, effects: Sequence[Effect], hour: float, levels: Mapping[str, float]) -> None:
        """Let the effects under way act; `levels` are those of all tanks now, in m."""
        if effects or self._driven or self._moved:
            received = self._received(effects, hour, levels)
            self._drive(effects, hour, received)
            # Afterwards: a link that is given back gets its controls as the file has them.
            self._move(effects, levels, received)
        self._last_s = self._board.time_s

    def _received(
        self, effects: Sequence[Effect], hour: float, levels: Mapping[str, float]
    ) -> dict[str, float]:
        received = dict(levels)
        for effect in effects:
            received = {tank: effect.reading(tank, v, hour) for tank, v in received.items()}
        return received

    def _threshold(self, effects: Sequence[Effect], tank: str, level: float) -> float:
        for effect in effects:
            level = effect.threshold(tank, level)
        return level

    def _move(
        self, effects: Sequence[Effect], levels: Mapping[str, float], received: Mapping[str, float]
    ) -> None:
        """Move what EPANET compares the true level of each tank with."""
        unit = self._network.units.length
        follows = all(effect.follows for effect in effects)
        for tank in levels:
            error = received[tank] - levels[tank]
            bent = error != 0.0 or self._threshold(effects, tank, 0.0) != 0.0
            if not bent and tank not in self._moved:
                continue
            for control in self._board.controls_on(tank):
                level = self._threshold(effects, tank, control.level * unit) - error
                moved = level / unit if bent else control.level
                if not self._is_driven(control.link, effects):
                    self._board.set_level(control, moved)
            for premise in self._board.premises_on(tank):
                level = self._threshold(effects, tank, premise.level * unit)
                moved = (level - error) / unit if bent else premise.level
                if bent and not follows and error != 0.0:
                    moved = _always_or_never(premise, received[tank], level)
                self._board.set_premise(premise, moved)
            self._moved = self._moved | {tank} if bent else self._moved - {tank}

    def _is_driven(self, link: str, effects: Sequence[Effect]) -> bool:
        return any(effect.drives and effect.event.target == link for effect in effects)

    def _drive(self, effects: Sequence[Effect], hour: float, received: Mapping[str, float]) -> None:
        """Let events drive their links, and give links back that none drives any more."""
        for link in dict.fromkeys(e.event.target for e in effects if e.drives):
            if link not in self._driven:
                self._driven[link] = _Driven(self._board.state(link))
                self._driven[link].off = self._board.take(link)
        for link, driven in list(self._driven.items()):
            self._follow_orders(link, driven, effects, received)
            setting = driven.ordered
            for effect in effects:
                setting = effect.command(link, setting, self._before(driven), hour)
            if not self._is_driven(link, effects):
                self._board.give_back(driven.off)
                del self._driven[link]
            # Again before each solve: rules of the file may have switched it meanwhile.
            if setting != self._board.state(link):
                self._board.set_state(link, setting)
            driven.done = setting

    def _before(self, driven: _Driven) -> float:
        return driven.ordered if math.isnan(driven.done) else driven.done

    def _follow_orders(
        self,
        link: str,
        driven: _Driven,
        effects: Sequence[Effect],
        received: Mapping[str, float],
    ) -> None:
        """Remember what the link's controls and rules order it meanwhile."""
        now = self._board.state(link)
        if not math.isnan(driven.done) and now != driven.done:
            driven.ordered = now
        for control in driven.off:
            if self._acts(control, effects, received):
                driven.ordered = self._board.ordered(control)

    def _acts(
        self, control: Control, effects: Sequence[Effect], received: Mapping[str, float]
    ) -> bool:
        if control.node:
            unit = self._network.units.length
            if control.node in received:
                level = self._threshold(effects, control.node, control.level * unit)
                value = received[control.node]
            else:
                level, value = control.level, self._board.pressure(control.node)
            return value <= level if control.below else value >= level
        now, last, at = self._board.time_s, self._last_s, control.level
        if not control.daily:
            return last < at <= now
        start = self._network.clock.start
        return (now + start - at) // _DAY_S > (last + start - at) // _DAY_S


def _always_or_never(premise: Premise, received: float, level: float) -> float:
    """Threshold that the true level meets at any height if the received one meets `level`."""
    met = received < level if premise.below else received > level
    return _FAR if met == premise.below else -_FAR
