"""The 43 SCADA channels of the C-Town plant, shared by the BATADAL files and the plant's twin.

Taormina et al., J. Water Resour. Plann. Manage. 144(8) 04018048, 2018,
doi 10.1061/(ASCE)WR.1943-5452.0000969. The column order is that of the published files.
"""

from __future__ import annotations

from twin.schema import Channel, Schema

__all__ = ["SCADA"]

_TANKS = tuple(f"T{i}" for i in range(1, 8))
_LINKS = (*(f"PU{i}" for i in range(1, 12)), "V2")
_JUNCTIONS = (280, 269, 300, 256, 289, 415, 302, 306, 307, 317, 14, 422)


def _level(tank: str) -> Channel:
    # The tallest tank is 6.75 m; a falsified reading may lie somewhat outside a tank.
    return Channel(f"L_{tank}", "m", "level", -0.5, 10.0)


def _link(link: str) -> tuple[Channel, Channel]:
    # Every pump stays below 130 L/s; PU1 in m3/h would read above 300. Check valves leak back a
    # little, so small negative flows occur.
    return (
        Channel(f"F_{link}", "L/s", "flow", -50.0, 250.0),
        Channel(f"S_{link}", "1", "status", 0.0, 1.0),
    )


def _pressure(junction: int) -> Channel:
    # -11 m of head is a vacuum; the strongest pump lifts 120 m; in kPa readings reach 1000.
    return Channel(f"P_J{junction}", "m", "pressure", -11.0, 200.0)


SCADA = Schema(
    name="ctown",
    channels=(
        *map(_level, _TANKS),
        *(channel for link in _LINKS for channel in _link(link)),
        *map(_pressure, _JUNCTIONS),
    ),
    period_s=3600.0,
)
