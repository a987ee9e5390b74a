"""The units of an EPANET file, in those that the twin records: m, L/s and m of water."""

from __future__ import annotations

from dataclasses import dataclass

from twin.epanet.inpfile import Sections, option
from twin.errors import TwinError

__all__ = ["Units", "units_of"]

#: Flow unit -> L/s, from EPANET's own factors to cubic feet per second (epanet2 types.h).
_LPS = {
    name: 28.317 / per_cfs
    for name, per_cfs in {
        "CFS": 1.0,
        "GPM": 448.831,
        "MGD": 0.64632,
        "IMGD": 0.5382,
        "AFD": 1.9837,
        "LPS": 28.317,
        "LPM": 1699.0,
        "MLD": 2.4466,
        "CMH": 101.94,
        "CMD": 2446.6,
    }.items()
}
_US = ("CFS", "GPM", "MGD", "IMGD", "AFD")
_M_PER_FT = 0.3048
_PSI_PER_FT, _KPA_PER_PSI = 0.4333, 6.895


@dataclass(frozen=True, slots=True)
class Units:
    """What one unit of the file is.

    Parameters
    ----------
    flow : L/s.
    length : m.
    pressure : m of the fluid, whose level in a tank it is.
    volume : m3.
    exponent : exponent of an emitter's outflow over pressure.
    """

    flow: float = 1.0
    length: float = 1.0
    pressure: float = 1.0
    volume: float = 1.0
    exponent: float = 0.5


def units_of(sections: Sections) -> Units:
    """Return the units of a network file; TwinError when [OPTIONS] UNITS is none that EPANET has.

    Flow units decide on the others: US ones go with feet and psi, metric ones with m and m.
    """
    flow = option(sections, "UNITS", "GPM").upper()
    if flow not in _LPS:
        raise TwinError(f"section [OPTIONS]: UNITS is {flow}; expected one of {', '.join(_LPS)}")
    gravity = float(option(sections, "SPECIFIC GRAVITY", "1"))
    us = flow in _US
    named = option(sections, "PRESSURE", "PSI" if us else "METERS").upper()
    # The file's word counts only where it fits the flow's system; a US file is always in psi.
    psi = _M_PER_FT / (_PSI_PER_FT * gravity)
    pressure = psi if us else psi / _KPA_PER_PSI if named == "KPA" else 1.0 / gravity
    length = _M_PER_FT if us else 1.0
    exponent = float(option(sections, "EMITTER EXPONENT", "0.5"))
    return Units(_LPS[flow], length, pressure, length**3, exponent)
