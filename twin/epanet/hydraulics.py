"""EPANET, one hydraulic step at a time, with the network's names instead of indices."""

from __future__ import annotations

import ctypes
import logging
import math
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from twin.epanet.faults import LEAK_HEAD_M
from twin.epanet.opening import faults_in
from twin.epanet.units import Units
from twin.errors import ScenarioError, TwinError

__all__ = ["Hydraulics"]

# EPANET 2.2 toolkit codes (epanet2_enums.h).
_EMITTER, _DEMAND, _PRESSURE, _TANK_VOLUME = 3, 9, 11, 24
_FLOW, _STATUS, _SETTING, _PUMP_STATE, _PUMP_CLOSED = 8, 11, 12, 16, 2
_DEMAND_FACTOR = 4
_NODE_COUNT, _TANK_COUNT, _LINK_COUNT, _FULL_REPORT, _ID_SIZE = 0, 1, 2, 2, 64
# What the solver makes of a junction that no open link leads to is a number without a meaning.
_CUT_OFF_M = -1e6
_UNBALANCED, _NEGATIVE, _FIRST_ERROR, _UNSOLVABLE = 1, 6, 100, 110
# What EPANET's report says of an element that keeps it from converging.
_WORST = re.compile(r"(?:= *[-\d.]+ for|ill-conditioned at) (Link|Node|node) +(\S+)")
_WARNINGS = {
    2: "hydraulics may be unstable",
    3: "nodes disconnected",
    4: "pumps cannot deliver",
    5: "valves cannot deliver",
    6: "negative pressures",
}


class Hydraulics:
    """A running EPANET 2.2 simulation: solve, read, switch, advance.

    Use it as a context manager; it owns a temporary directory for EPANET's files.

    Parameters
    ----------
    inp : text of the input file.
    where : name of the scenario, for messages.
    tanks, links, junctions : what will be read or set, by the names of the file.
    units : the file's units; everything here is in m, L/s and m of water.

    Attributes
    ----------
    time_s : time of the current step since the start, in s.
    solves : number of steps solved.
    warnings : text of a solver warning -> number of steps with it.
    lowest : where and when pressure was first negative at a junction that draws water; "" = never.
    link_indices, node_indices : name -> EPANET's index, once it is open.
    """

    def __init__(
        self,
        inp: str,
        where: str,
        tanks: Sequence[str],
        links: Sequence[str],
        junctions: Sequence[str],
        units: Units = Units(),  # noqa: B008 - frozen
    ) -> None:
        self.time_s = 0
        self.solves = 0
        self.warnings: Counter[str] = Counter()
        self.lowest = ""
        self._emitters: dict[str, float] = {}
        self._inp = inp
        self._where = where
        self._names = (tuple(tanks), tuple(links), tuple(junctions))
        self._units = units
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open the simulation; TwinError when EPANET does not take the input."""
        # Imported here: wntr takes over a second, which readers of cached twin data are spared.
        from wntr.epanet.toolkit import ENepanet  # noqa: PLC0415

        # wntr logs each error before it raises it; once is enough.
        logging.getLogger("wntr.epanet.toolkit").setLevel(logging.CRITICAL)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dtfl-epanet-")))
            self._folder = folder
            (folder / "a.inp").write_text(self._inp, encoding="latin-1")
            engine = ENepanet(*(str(folder / f"a.{end}") for end in ("inp", "rpt", "bin")))
            self._open(engine)
            stack.callback(engine.ENclose)
            self._lib, self._project = engine.ENlib, engine._project
            self.call("EN_openH")
            self.call("EN_initH", 0)
            stack.callback(self._lib.EN_closeH, self._project)
            self._index()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close EPANET and remove its files."""
        self._stack.close()

    def _open(self, engine: Any) -> None:  # noqa: ANN401 - wntr ships no types
        from wntr.epanet.exceptions import EpanetException  # noqa: PLC0415 - see __enter__

        try:
            engine.ENopen()
        except EpanetException as error:
            faults = [" ".join(filter(None, fault)) for fault in faults_in(self._inp)[:3]]
            raise TwinError(
                f"{self._where}: EPANET refuses the plant's input: "
                f"{'; '.join(faults) or error}; check pump curves and network file"
            ) from error

    def _index(self) -> None:
        tanks, links, junctions = self._names
        self.link_indices = {name: self._find("EN_getlinkindex", name) for name in links}
        nodes = sorted({*tanks, *junctions})
        self.node_indices = {name: self._find("EN_getnodeindex", name) for name in nodes}
        self._value = ctypes.c_double()
        self._pointer = ctypes.byref(self._value)
        self._tank_indices = [self.node_indices[name] for name in tanks]

    def _find(self, function: str, name: str) -> int:
        index = ctypes.c_int()
        self.call(function, name.encode("latin-1"), ctypes.byref(index))
        return index.value

    def call(self, function: str, *arguments: Any) -> int:  # noqa: ANN401 - C function
        """Call EPANET's toolkit; return its warning code, ScenarioError where it is an error."""
        code: int = getattr(self._lib, function)(self._project, *arguments)
        if code >= _FIRST_ERROR:
            raise ScenarioError(self._error(code, function))
        return code

    def _error(self, code: int, function: str) -> str:
        hours = self.time_s / 3600
        return f"{self._where}: EPANET error {code} in {function} at {hours:.2f} h"

    def _node(self, index: int, code: int) -> float:
        self._lib.EN_getnodevalue(self._project, index, code, self._pointer)
        return self._value.value

    def solve(self) -> None:
        """Solve flows and pressures of the current step; ScenarioError if it does not converge."""
        code: int = self._lib.EN_runH(self._project, ctypes.byref(ctypes.c_long()))
        self.solves += 1
        if code in (_UNBALANCED, _UNSOLVABLE):
            raise ScenarioError(
                f"{self._where}: the hydraulics do not converge at {self.time_s / 3600:.2f} h"
                f"{self._suspect()}; the scenario gives no data"
            )
        if code >= _FIRST_ERROR:
            raise ScenarioError(self._error(code, "EN_runH"))
        if code:
            self.warnings[_WARNINGS.get(code, f"EPANET warning {code}")] += 1
        if code == _NEGATIVE and not self.lowest:
            self.lowest = self._find_lowest()

    def _suspect(self) -> str:
        """Solve the step again and name what is worst: by EPANET's full report, else by change."""
        report, before = self._folder / "again.rpt", self._all_flows()
        self._lib.EN_setstatusreport(self._project, _FULL_REPORT)
        self._lib.EN_runH(self._project, ctypes.byref(ctypes.c_long()))
        self._lib.EN_copyreport(self._project, str(report).encode())
        text = report.read_text(encoding="latin-1", errors="replace") if report.exists() else ""
        found = _WORST.findall(text)
        if found:
            return f", worst at {found[-1][0].lower()} {found[-1][1]}"
        changes = [abs(a - b) for a, b in zip(before, self._all_flows(), strict=True)]
        worst = self._name("EN_getlinkid", 1 + changes.index(max(changes)))
        return f", where the flow of link {worst} does not settle" if max(changes) > 0 else ""

    def _all_flows(self) -> list[float]:
        flows = []
        for index in range(1, self.count(_LINK_COUNT) + 1):
            self._lib.EN_getlinkvalue(self._project, index, _FLOW, self._pointer)
            flows.append(self._value.value)
        return flows

    def _name(self, function: str, index: int) -> str:
        name = ctypes.create_string_buffer(_ID_SIZE)
        self.call(function, index, name)
        return name.value.decode("latin-1")

    def _find_lowest(self) -> str:
        """Name the junction of the lowest pressure among those that draw water."""
        count = self.count(_NODE_COUNT) - self.count(_TANK_COUNT)
        served = [i for i in range(1, count + 1) if self._node(i, _DEMAND) > 0.0]
        if not served:
            return ""
        low = min(served, key=self._pressure)
        name, pressure = self._name("EN_getnodeid", low), self._pressure(low)
        at = f"at {self.time_s / 3600:.2f} h"
        if pressure < _CUT_OFF_M:
            return f"junction {name} is cut off from any supply {at}"
        return f"the pressure at junction {name} is {pressure:.3g} m {at}"

    def advance(self) -> int:
        """Update the tanks, go to the next step and return its length in s; 0 at the end."""
        step = ctypes.c_long()
        self.call("EN_nextH", ctypes.byref(step))
        self.time_s += step.value
        return step.value

    def levels(self) -> list[float]:
        """Return the level of every tank now, in m."""
        # A tank's pressure at its floor is its level.
        return [self._pressure(index) for index in self._tank_indices]

    def volumes(self) -> list[float]:
        """Return the water in every tank now, in m3."""
        volume = self._units.volume
        return [self._node(index, _TANK_VOLUME) * volume for index in self._tank_indices]

    def inflows(self) -> list[float]:
        """Return the net inflow of every tank during the step just solved, in L/s."""
        flow = self._units.flow
        return [self._node(index, _DEMAND) * flow for index in self._tank_indices]

    def flow(self, link: str) -> float:
        """Return the flow of a link, in L/s, positive from its start node to its end node."""
        return self._link(link, _FLOW) * self._units.flow

    def pressure(self, node: str) -> float:
        """Return the pressure at a junction or the level of a tank, in m."""
        return self._pressure(self.node_indices[node])

    def _pressure(self, index: int) -> float:
        return self._node(index, _PRESSURE) * self._units.pressure

    def _link(self, link: str, code: int) -> float:
        self._lib.EN_getlinkvalue(self._project, self.link_indices[link], code, self._pointer)
        return self._value.value

    def speed(self, pump: str) -> float:
        """Return the relative speed at which a pump was told to run; 0 = off."""
        # A pump that is closed by its status keeps its speed.
        closed = self._link(pump, _PUMP_STATE) == _PUMP_CLOSED
        return 0.0 if closed else self._link(pump, _SETTING)

    def setting(self, valve: str) -> float:
        """Return what a valve regulates to, in the file's unit; 0 if it does not."""
        return self._link(valve, _SETTING)

    def is_open(self, link: str) -> bool:
        """Return whether water can flow through a link."""
        return self._link(link, _STATUS) > 0.5

    def count(self, code: int) -> int:
        """Return how many of a kind there are, by EPANET's code of the kind."""
        number = ctypes.c_int()
        self.call("EN_getcount", code, ctypes.byref(number))
        return number.value

    def set_pump(self, pump: str, speed: float) -> None:
        """Run a pump at a relative speed; 0 = off."""
        self.set_setting(pump, speed)

    def set_setting(self, link: str, setting: float) -> None:
        """Set a pump's speed or what a valve regulates to, in the file's unit."""
        self.call("EN_setlinkvalue", self.link_indices[link], _SETTING, ctypes.c_double(setting))

    def set_valve(self, valve: str, is_open: bool) -> None:
        """Open or close a valve or a pipe."""
        # By status: as a setting, open and closed would be loss coefficients.
        status = ctypes.c_double(is_open)
        self.call("EN_setlinkvalue", self.link_indices[valve], _STATUS, status)

    def set_burst(self, junction: str, extra_lps: float) -> None:
        """Set the last of a junction's demands, which a scenario adds for it, in L/s."""
        index, last = self.node_indices[junction], ctypes.c_int()
        self.call("EN_getnumdemands", index, ctypes.byref(last))
        factor = ctypes.c_double()
        self.call("EN_getoption", _DEMAND_FACTOR, ctypes.byref(factor))
        value = ctypes.c_double(extra_lps / (self._units.flow * factor.value))
        self.call("EN_setbasedemand", index, last.value, value)

    def set_emitter(self, junction: str, coefficient: float) -> None:
        """Let a junction lose coefficient * sqrt(pressure) more than by the file, in L/s.

        Where the file's emitters have another exponent than 0.5, the loss is that at 30 m.
        """
        units, index = self._units, self.node_indices[junction]
        own = self._emitters.setdefault(junction, self._node(index, _EMITTER))
        head = (LEAK_HEAD_M / units.pressure) ** units.exponent
        more = coefficient * (math.sqrt(LEAK_HEAD_M) / head) / units.flow
        self.call("EN_setnodevalue", index, _EMITTER, ctypes.c_double(own + more))
