"""Concealment in the C-Town plant's SCADA, see ``twin.epanet.concealment``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twin.base import Event
from twin.ctown.scada import SCADA, STATION_PRESSURES, TANK_LINKS
from twin.epanet import concealment
from twin.epanet.concealment import Stations, check_concealment, replay_lag

__all__ = ["STATIONS", "check_concealment", "conceal", "concealed_channels", "replay_lag"]

STATIONS = Stations(fills=TANK_LINKS, pressures=STATION_PRESSURES)


def concealed_channels(event: Event) -> tuple[str, ...]:
    """Return the channels that the event's concealment rewrites."""
    return concealment.concealed_channels(event, STATIONS)


def conceal(values: npt.NDArray[np.float64], event: Event) -> None:
    """Rewrite the event's rows of `values` in place. shape: (hours, channels of SCADA)."""
    concealment.conceal(values, event, SCADA.names, STATIONS)
