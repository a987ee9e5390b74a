"""A file that says how an FMU is a twin: which variables are channels, what drives it, what fails.

::

    fmu = "plant.fmu"              # beside this file

    [channels]                     # channel = variable; left out where both have one name
    level = "tank.level"

    [units]                        # of variables whose FMU gives none
    "tank.level" = "m"

    [parameters]                   # drawn for each scenario, from a range
    "tank.area" = [9.0, 11.0]

    [inputs.demand]                # mean + swing * sin(2 pi t / period + random phase) + noise
    mean = 10.0
    swing = 3.0
    period-h = 24.0
    noise = 0.5                    # standard deviation, of values an hour apart

    [events.leak]                  # an input is raised by, or set to, the strength drawn
    input = "leak"
    how = "add"                    # add, set
    strength = [0.5, 2.0]
    hours = [2, 24]

    [events.level-offset]          # or a reading is wrong
    reading = "level"
    how = "offset"                 # offset, frozen
    strength = [0.5, 1.0]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from twin.errors import TwinError
from twin.planning import EventKind

__all__ = ["FmuEvent", "FmuFile", "FmuInput", "read_fmu_file"]


@dataclass(frozen=True, slots=True)
class FmuInput:
    """How an input is driven through a scenario, in the variable's unit.

    Parameters
    ----------
    mean, swing : middle and amplitude of the wave.
    period_h : hours of a wave, > 0.
    noise : standard deviation of what comes on top, >= 0.
    """

    mean: float
    swing: float = 0.0
    period_h: float = 24.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class FmuEvent:
    """What one kind of event does.

    Parameters
    ----------
    kind : its name, and what may be drawn; its one target is `where`.
    where : the input, or the channel, that it acts on.
    how : "add" or "set" of an input, "offset" or "frozen" of a reading.
    """

    kind: EventKind
    where: str
    how: Literal["add", "set", "offset", "frozen"]

    @property
    def of_reading(self) -> bool:
        """Whether the plant goes on as it was, and only what is read is wrong."""
        return self.how in _OF_READINGS


@dataclass(frozen=True, slots=True)
class FmuFile:
    """All that such a file says.

    Parameters
    ----------
    fmu : the FMU.
    channels : channel -> variable, where their names differ.
    units : variable -> unit, where the FMU gives none.
    parameters : variable -> range it is drawn from.
    inputs : variable -> how it is driven.
    events : name -> what it does.
    """

    fmu: Path
    channels: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    inputs: Mapping[str, FmuInput] = field(default_factory=dict)
    events: Mapping[str, FmuEvent] = field(default_factory=dict)


_OF_INPUTS, _OF_READINGS = ("add", "set"), ("offset", "frozen")
_TABLES = ("channels", "units", "parameters", "inputs", "events")


def read_fmu_file(path: Path) -> FmuFile:
    """Read the file, or take an ``.fmu`` as it is; TwinError says what, where and what else."""
    if path.suffix == ".fmu":
        return FmuFile(path)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TwinError(
            f"{path}: cannot be read ({error}); expected an .fmu or a TOML file"
        ) from error
    reader = _Reader(path)
    reader.known(told, ("fmu", *_TABLES), "")
    tables = {name: reader.table(told, name) for name in _TABLES}
    return FmuFile(
        fmu=path.parent / reader.text(told, "fmu", ""),
        channels={k: reader.text(tables["channels"], k, "channels") for k in tables["channels"]},
        units={k: reader.text(tables["units"], k, "units") for k in tables["units"]},
        parameters={
            k: reader.range(tables["parameters"], k, "parameters") for k in tables["parameters"]
        },
        inputs={k: reader.input(tables["inputs"], k) for k in tables["inputs"]},
        events={k: reader.event(tables["events"], k) for k in tables["events"]},
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads entries of the file at `path`, with errors that say where."""

    path: Path

    def known(self, table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
        unknown = sorted(set(table) - set(keys))
        if unknown:
            self._refuse(where, unknown[0], table[unknown[0]], f"one of the keys {', '.join(keys)}")

    def table(self, told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = told.get(key, {})
        if not isinstance(found, Mapping):
            self._refuse("", key, found, f"a table [{key}]")
        return found

    def text(self, table: Mapping[str, Any], key: str, where: str) -> str:
        found = table.get(key)
        if not isinstance(found, str) or not found:
            self._refuse(where, key, found, "a text")
        return str(found)

    def number(self, table: Mapping[str, Any], key: str, where: str, default: float) -> float:
        found = table.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float):
            self._refuse(where, key, found, "a number")
        return float(found)

    def range(self, table: Mapping[str, Any], key: str, where: str) -> tuple[float, float]:
        found = table[key]
        pair = isinstance(found, list) and len(found) == 2
        if not pair or not all(isinstance(v, int | float) for v in found) or found[0] > found[1]:
            self._refuse(where, key, found, "[low, high], two numbers")
        return float(found[0]), float(found[1])

    def input(self, table: Mapping[str, Any], key: str) -> FmuInput:
        told, where = self.table(table, key), f"inputs.{key}"
        self.known(told, ("mean", "swing", "period-h", "noise"), where)
        period = self.number(told, "period-h", where, 24.0)
        noise = self.number(told, "noise", where, 0.0)
        if period <= 0 or noise < 0:
            self._refuse(where, "period-h, noise", [period, noise], "above 0, and 0 or more")
        if "mean" not in told:
            self._refuse(where, "mean", None, "a number")
        mean, swing = (self.number(told, name, where, 0.0) for name in ("mean", "swing"))
        return FmuInput(mean, swing, period, noise)

    def event(self, table: Mapping[str, Any], key: str) -> FmuEvent:
        told, where = self.table(table, key), f"events.{key}"
        self.known(told, ("input", "reading", "how", "strength", "hours"), where)
        if ("input" in told) == ("reading" in told):
            self._refuse(where, "input, reading", sorted(told), "one of the two")
        what, hows = ("input", _OF_INPUTS) if "input" in told else ("reading", _OF_READINGS)
        target, how = self.text(told, what, where), told.get("how", hows[0])
        if how not in hows:
            self._refuse(where, "how", how, " or ".join(hows))
        weak, strong = self.range(told, "strength", where) if "strength" in told else (1.0, 1.0)
        short, long = self.range(told, "hours", where) if "hours" in told else (2.0, 24.0)
        kind = EventKind(key, (target,), (int(short), int(long)), (weak, strong))
        return FmuEvent(kind, target, how)

    def _refuse(self, where: str, key: str, found: object, expected: str) -> None:
        place = f"[{where}] {key}" if where else key
        raise TwinError(f"{self.path}: {place} = {found!r}; expected {expected}")
