"""What a network file does not say about the plant that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from twin.errors import TwinError

__all__ = ["EpanetOptions", "NetworkOptions"]


@dataclass(frozen=True, slots=True)
class EpanetOptions:
    """Options of a twin of an EPANET network.

    Parameters
    ----------
    pressures : junctions with a pressure sensor; empty = those at the ends of the meters and
        beside tanks.
    meters : pumps, valves and pipes whose flow and status are recorded; empty = all pumps, all
        valves, and the pipes that a control or a rule switches; without any, pipes at reservoirs.
    demand_noise, demand_ar : standard deviation, relative, and lag-1 autocorrelation of the hourly
        noise on each zone's demand, in [0, 1).
    level_noise, flow_noise, pressure_noise : standard deviation of the sensors' noise in m, L/s
        and m, at least 0.
    burn_in_days : days simulated before the first row, from the levels in the file, at least 0.
    negative_pressure : whether a network may run in which pressure is negative where water is
        drawn, even without events; EPANET serves demands all the same.
    """

    pressures: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    demand_noise: float = 0.1
    demand_ar: float = 0.0
    level_noise: float = 0.0
    flow_noise: float = 0.0
    pressure_noise: float = 0.0
    burn_in_days: int = 2
    negative_pressure: bool = False

    def __post_init__(self) -> None:
        for name in ("demand_noise", "demand_ar"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise TwinError(f"{name} is {getattr(self, name)}; expected at least 0, below 1")
        for name in ("level_noise", "flow_noise", "pressure_noise", "burn_in_days"):
            if not getattr(self, name) >= 0:
                raise TwinError(f"{name} is {getattr(self, name)}; expected at least 0")

    @property
    def sensor_noise(self) -> dict[str, float]:
        """Standard deviation of the sensors' noise by kind of channel."""
        return {
            "level": self.level_noise,
            "flow": self.flow_noise,
            "pressure": self.pressure_noise,
        }


@dataclass(frozen=True, slots=True)
class NetworkOptions(EpanetOptions):
    """Options of a twin that an app's settings name.

    Parameters
    ----------
    network : path of the EPANET input file, within the folder of the data where it is relative.
    pressures, meters : left empty, the sensors are those of the sites' channels.
    """

    network: str = ""
