"""EPANET on the C-Town plant, see ``twin.epanet.hydraulics``."""

from __future__ import annotations

from collections.abc import Iterable

from twin.ctown.scada import LINKS, PRESSURE_NODES, TANKS
from twin.epanet import hydraulics

__all__ = ["Hydraulics"]


class Hydraulics(hydraulics.Hydraulics):
    """A running simulation of the plant: its 7 tanks, 12 links and 12 pressure sensors.

    Parameters
    ----------
    inp : text of the input file (see ``scenario_file``).
    where : name of the scenario, for messages.
    junctions : junctions whose emitter will be set.
    """

    def __init__(self, inp: str, where: str, junctions: Iterable[str] = ()) -> None:
        super().__init__(inp, where, TANKS, LINKS, (*PRESSURE_NODES, *junctions))
