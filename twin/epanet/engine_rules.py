"""Controls, rules and links of a running EPANET simulation, as events need to read and set them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass

from twin.epanet.hydraulics import Hydraulics
from twin.epanet.network import Network

__all__ = ["REGULATES", "Control", "Premise", "Switchboard"]

# EPANET 2.2 toolkit codes (epanet2_enums.h).
_CONTROL_COUNT, _RULE_COUNT = 5, 6
_LOW, _HIGH, _TIMER, _TIME_OF_DAY = 0, 1, 2, 3
_RULE_NODE, _LEVEL = 6, 3
_BELOW = (2, 4, 8)  # <=, <, BELOW
_ABOVE = (3, 5, 9)

#: State of a valve that regulates flow or pressure, neither fully open nor closed.
REGULATES = 2.0


@dataclass(frozen=True, slots=True)
class Control:
    """A row of [CONTROLS].

    Parameters
    ----------
    index : its number, from 1.
    link : what it switches.
    setting : speed of a pump, setting of a valve, or 1 = open and 0 = closed.
    node : whose level or pressure it depends on, "" for a time.
    below : whether it acts below `level`, or above.
    daily : whether its time is one of each day.
    level : level in the file's unit, or time in s.
    """

    index: int
    link: str
    setting: float
    node: str
    below: bool
    daily: bool
    level: float


@dataclass(frozen=True, slots=True)
class Premise:
    """A condition of a rule on the level of a tank, in the file's unit."""

    rule: int
    index: int
    tank: str
    below: bool
    level: float


class Switchboard:
    """What switches the links of one running simulation.

    Parameters
    ----------
    network : what is simulated.
    water : the simulation, with all tanks, all meters and all that controls depend on indexed.
    """

    def __init__(self, network: Network, water: Hydraulics) -> None:
        self._network, self._water = network, water
        self._nodes = {index: name for name, index in water.node_indices.items()}
        self._names = {index: name for name, index in water.link_indices.items()}
        self._controls = list(self._read_controls())
        self._premises = list(self._read_premises())
        self._set = {premise: premise.level for premise in self._premises}
        self._pumps, self._valves = (set(network.of_sort(sort)) for sort in ("PUMP", "VALVE"))
        # What a valve regulates to, kept while an event holds it open or closed.
        self._settings: dict[str, float] = {}

    @property
    def time_s(self) -> int:
        """Time since the simulation's start, in s."""
        return self._water.time_s

    def pressure(self, node: str) -> float:
        """Return the pressure at a junction in the file's unit."""
        return self._water.pressure(node) / self._network.units.pressure

    def controls_on(self, node: str) -> list[Control]:
        """Return the controls that depend on a node."""
        return [control for control in self._controls if control.node == node]

    def premises_on(self, tank: str) -> list[Premise]:
        """Return the rules' conditions on a tank's level."""
        return [premise for premise in self._premises if premise.tank == tank]

    def set_level(self, control: Control, level: float) -> None:
        """Let a control act at another level, in the file's unit; one below the floor too."""
        if level < 0.0 and control.below:
            self._write(control, link=0, level=control.level)  # never: a tank cannot be so low
        else:
            self._write(control, link=self._water.link_indices[control.link], level=max(level, 0.0))

    def set_premise(self, premise: Premise, level: float) -> None:
        """Let a rule's condition hold at another level, in the file's unit."""
        if self._set[premise] != level:
            self._set[premise] = level
            value = ctypes.c_double(level)
            self._water.call("EN_setpremisevalue", premise.rule, premise.index, value)

    def take(self, link: str) -> list[Control]:
        """Take a link out of its controls' hands; return them."""
        found = [control for control in self._controls if control.link == link]
        for control in found:
            self._write(control, link=0, level=control.level)
        self._settings[link] = self._water.setting(link)
        return found

    def give_back(self, controls: Iterable[Control]) -> None:
        """Give controls back what they switch."""
        for control in controls:
            self._write(control, self._water.link_indices[control.link], control.level)

    def ordered(self, control: Control) -> float:
        """Return the state that a control orders."""
        if control.link not in self._valves:
            return control.setting
        self._settings[control.link] = control.setting
        return REGULATES

    def state(self, link: str) -> float:
        """Return a pump's speed, 0 = off; else 0 = closed, 1 = open, 2 = a valve that regulates."""
        if link in self._pumps:
            return self._water.speed(link)
        if link in self._valves and self._water.setting(link) > 0.0:
            return REGULATES
        return float(self._water.is_open(link))

    def set_state(self, link: str, state: float) -> None:
        """Let a link do what `state` returns."""
        if link in self._pumps:
            self._water.set_pump(link, state)
        elif state == REGULATES:
            self._water.set_setting(link, self._settings[link])
        else:
            self._water.set_valve(link, state > 0.5)

    def _write(self, control: Control, link: int, level: float) -> None:
        sort = (_LOW if control.below else _HIGH) if control.node else _TIMER
        sort = _TIME_OF_DAY if control.daily else sort
        node = self._water.node_indices.get(control.node, 0)
        values = ctypes.c_double(control.setting), node, ctypes.c_double(level)
        self._water.call("EN_setcontrol", control.index, sort, link, *values)

    def _read_controls(self) -> Iterable[Control]:
        for index in range(1, self._water.count(_CONTROL_COUNT) + 1):
            sort, link, node = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
            setting, level = ctypes.c_double(), ctypes.c_double()
            values = [ctypes.byref(setting), ctypes.byref(node), ctypes.byref(level)]
            self._water.call(
                "EN_getcontrol", index, ctypes.byref(sort), ctypes.byref(link), *values
            )
            yield Control(
                index,
                self._names[link.value],
                setting.value,
                self._nodes[node.value] if sort.value in (_LOW, _HIGH) else "",
                sort.value == _LOW,
                sort.value == _TIME_OF_DAY,
                level.value,
            )

    def _read_premises(self) -> Iterable[Premise]:
        for rule in range(1, self._water.count(_RULE_COUNT) + 1):
            counts, priority = [ctypes.c_int() for _ in range(3)], ctypes.c_double()
            sizes = [ctypes.byref(value) for value in counts]
            self._water.call("EN_getrule", rule, *sizes, ctypes.byref(priority))
            for index in range(1, counts[0].value + 1):
                words, level = [ctypes.c_int() for _ in range(6)], ctypes.c_double()
                found = [ctypes.byref(value) for value in words]
                self._water.call("EN_getpremise", rule, index, *found, ctypes.byref(level))
                sort, node, variable, relation = (word.value for word in words[1:5])
                tank = self._nodes.get(node, "") if sort == _RULE_NODE else ""
                known = variable == _LEVEL and relation in (*_BELOW, *_ABOVE)
                if known and tank in self._network.tanks:
                    yield Premise(rule, index, tank, relation in _BELOW, level.value)
