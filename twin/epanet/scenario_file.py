"""The EPANET input of one scenario: the network's own file with demands and length of its own.

What belongs to drawing, quality and cost goes. Each zone has demand noise of its own: one pattern
per zone and pattern of the file holds both, so that nothing has to be set while the run lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from twin.epanet.clock import seconds
from twin.epanet.inpfile import InpRow, format_inp
from twin.epanet.network import Network

__all__ = ["scenario_inp"]

FloatArray = npt.NDArray[np.float64]

#: Values per row of [PATTERNS], well under EPANET's 1024 characters per line.
_PATTERN_ROW = 24
_HOUR_S = 3600
_COPIED = (
    *("RESERVOIRS", "TANKS", "PIPES", "PUMPS", "VALVES", "EMITTERS", "CURVES", "STATUS"),
    "PATTERNS",
)
_DROPPED_OPTIONS = ("QUAL", "DIFF", "TOLE", "MAP", "HYDR", "PATT")
_ONE = "twin.one"


def scenario_inp(
    network: Network,
    zone: Mapping[str, str],
    noise: Mapping[str, FloatArray],
    hours: int,
    bursts: Iterable[str] = (),
) -> str:
    """Return the text of the EPANET input file of a run of so many hours.

    Parameters
    ----------
    zone : node -> zone.
    noise : zone -> relative noise of its demand per hour. shape: (hours + 1,)
    bursts : junctions that get one more demand, of 0 for now.
    """
    demands, patterns = _demands(network, zone, noise, hours)
    controls, rules = _controls(network, hours)
    tables = {name: network.sections.get(name, ()) for name in _COPIED}
    tables["PATTERNS"] = (*tables["PATTERNS"], *patterns, (_ONE, "1"))
    return format_inp(
        {
            "JUNCTIONS": [row[:2] for row in network.sections["JUNCTIONS"]],
            **tables,
            "DEMANDS": [*demands, *((junction, "0", _ONE) for junction in bursts)],
            "CONTROLS": controls,
            "RULES": [*network.sections.get("RULES", ()), *rules],
            "TIMES": network.clock.times(hours),
            "OPTIONS": [
                row
                for row in network.sections.get("OPTIONS", ())
                if not row[0].upper().startswith(_DROPPED_OPTIONS)
            ],
        }
    )


def _demands(
    network: Network, zone: Mapping[str, str], noise: Mapping[str, FloatArray], hours: int
) -> tuple[list[InpRow], list[InpRow]]:
    """Rows of [DEMANDS], and of the patterns that they name."""
    named: dict[tuple[str, str], str] = {}
    rows: list[InpRow] = []
    for demand in network.demands:
        key = (zone[demand.junction], demand.pattern)
        name = named.setdefault(key, f"twin.{len(named)}")
        rows.append((demand.junction, demand.base, name))
    patterns = [
        row
        for (area, pattern), name in named.items()
        for row in _pattern(name, _series(network, pattern, noise[area], hours))
    ]
    return rows, patterns


def _series(network: Network, pattern: str, noise: FloatArray, hours: int) -> FloatArray:
    """Multipliers of a pattern with noise, one per pattern step of the run; never below 0 by it."""
    clock = network.clock
    multipliers = np.array(network.patterns.get(pattern, (1.0,)))
    count = (hours * _HOUR_S + clock.pattern_start) // clock.pattern_step + 1
    step = np.arange(count)
    hour = np.maximum(step * clock.pattern_step - clock.pattern_start, 0) // _HOUR_S
    series: FloatArray = multipliers[step % len(multipliers)] * np.maximum(1.0 + noise[hour], 0.0)
    return series


def _pattern(name: str, values: FloatArray) -> list[InpRow]:
    words = [repr(float(value)) for value in values]
    return [
        (name, *words[start : start + _PATTERN_ROW]) for start in range(0, len(words), _PATTERN_ROW)
    ]


def _controls(network: Network, hours: int) -> tuple[list[InpRow], list[InpRow]]:
    """Rows of [CONTROLS], and of the rules that stand for those that open and close valves.

    EPANET's toolkit takes the level of a valve's control for a new setting too, and open and closed
    would become loss coefficients. A rule's level can be moved alone.
    """
    valves = set(network.of_sort("VALVE"))
    controls: list[InpRow] = []
    rules: list[InpRow] = []
    for row in network.sections.get("CONTROLS", ()):
        for again in _repeated(row, network, hours):
            if row[1] in valves and row[2].upper() in ("OPEN", "CLOSED"):
                rules += _as_rule(again, f"twin.{len(rules)}", network)
            else:
                controls.append(again)
    return controls, rules


def _repeated(row: InpRow, network: Network, hours: int) -> Iterator[InpRow]:
    """Let a control at a time act again in each repetition of what the file describes."""
    if row[3].upper() != "AT" or row[4].upper() != "TIME":
        yield row
        return
    for time in network.clock.repeats(seconds(row[5:]), hours * _HOUR_S):
        yield (*row[:5], str(time), "SEC")


def _as_rule(row: InpRow, name: str, network: Network) -> list[InpRow]:
    if row[3].upper() == "IF":
        node, level = row[5], ("LEVEL" if row[5] in network.tanks else "PRESSURE")
        sort = "TANK" if row[5] in network.tanks else "JUNCTION"
        premise: InpRow = ("IF", sort, node, level, row[6], row[7])
    else:
        what = "TIME" if row[4].upper() == "TIME" else "CLOCKTIME"
        premise = ("IF", "SYSTEM", what, "=", *_rule_time(row[5:]))
    return [("RULE", name), premise, ("THEN", "VALVE", row[1], "STATUS", "IS", row[2])]


def _rule_time(words: InpRow) -> InpRow:
    """A rule's time in hours, which it takes without a unit."""
    return (repr(seconds(words) / _HOUR_S),)
