"""What the C-Town plant's SCADA records: BATADAL's 43 channels, and which asset belongs to what.

Source: Taormina et al., J. Water Resour. Plann. Manage. 144(8) 04018048 (2018). This module needs
no EPANET, so a site can import it to check its own data.
"""

from __future__ import annotations

from collections.abc import Mapping

from twin.ctown.channels import SCADA

__all__ = [
    "LINKS",
    "PLC_CHANNELS",
    "PLC_TANKS",
    "PRESSURE_NODES",
    "PUMPS",
    "SCADA",
    "STATION_PRESSURES",
    "TANKS",
    "TANK_LINKS",
    "TANK_MAX_LEVEL",
    "VALVE",
]

#: Highest level of each tank in m, as both public network files have it.
TANK_MAX_LEVEL: Mapping[str, float] = {
    "T1": 6.5,
    "T2": 5.9,
    "T3": 6.75,
    "T4": 4.7,
    "T5": 4.5,
    "T6": 5.5,
    "T7": 5.0,
}
TANKS: tuple[str, ...] = tuple(TANK_MAX_LEVEL)
PUMPS: tuple[str, ...] = tuple(f"PU{number}" for number in range(1, 12))
VALVE = "V2"
LINKS: tuple[str, ...] = (*PUMPS, VALVE)
PRESSURE_NODES: tuple[str, ...] = (
    *("J280", "J269", "J300", "J256", "J289", "J415"),
    *("J302", "J306", "J307", "J317", "J14", "J422"),
)

#: Tank -> the pumps or the valve that fill it. T6 has none: it floats on the mains of T7.
TANK_LINKS: Mapping[str, tuple[str, ...]] = {
    "T1": ("PU1", "PU2", "PU3"),
    "T2": ("V2",),
    "T3": ("PU4", "PU5"),
    "T4": ("PU6", "PU7"),
    "T5": ("PU8", "PU9"),
    "T6": (),
    "T7": ("PU10", "PU11"),
}
#: Tank -> pressure sensors at the inlet and the outlet of the station that fills it.
STATION_PRESSURES: Mapping[str, tuple[str, ...]] = {
    "T1": ("J280", "J269"),
    "T2": ("J14", "J422"),
    "T3": ("J300", "J256"),
    "T4": ("J289", "J415"),
    "T5": ("J302", "J306"),
    "T6": (),
    "T7": ("J307", "J317"),
}
#: PLC -> tank whose level it measures and sends to the PLC that switches the pumps. T2's level
#: and valve belong to PLC3 both.
PLC_TANKS: Mapping[str, str] = {
    "PLC2": "T1",
    "PLC3": "T2",
    "PLC4": "T3",
    "PLC6": "T4",
    "PLC7": "T5",
    "PLC8": "T6",
    "PLC9": "T7",
}


def _link_channels(*links: str) -> tuple[str, ...]:
    return tuple(f"{quantity}_{link}" for link in links for quantity in ("F", "S"))


def _plc_channels() -> dict[str, tuple[str, ...]]:
    channels: dict[str, tuple[str, ...]] = {p: (f"L_{t}",) for p, t in PLC_TANKS.items()}
    channels["PLC1"] = (*_link_channels("PU1", "PU2", "PU3"), "P_J280", "P_J269")
    channels["PLC3"] += (
        *_link_channels("PU4", "PU5", "PU6", "PU7", "V2"),
        *("P_J300", "P_J256", "P_J289", "P_J415", "P_J14", "P_J422"),
    )
    channels["PLC5"] = (
        *_link_channels("PU8", "PU9", "PU10", "PU11"),
        *("P_J302", "P_J306", "P_J307", "P_J317"),
    )
    return dict(sorted(channels.items()))


#: PLC -> the channels that reach the SCADA through it.
PLC_CHANNELS: Mapping[str, tuple[str, ...]] = _plc_channels()
