"""Random water demand of the district metered areas (DMAs), hour by hour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.ctown.plant import DmaDemand
from twin.epanet.noise import ar1_noise
from twin.errors import TwinError

__all__ = ["ar1_noise", "check_demand", "demand_series"]

FloatArray = npt.NDArray[np.float64]

#: Day of the year on which a seasonal demand peaks (mid July: summer on the northern half).
_PEAK_DAY = 196


def check_demand(name: str, demand: DmaDemand) -> None:
    """Raise TwinError unless the demand of DMA `name` can be simulated."""
    if demand.mean_lps <= 0:
        raise TwinError(f"{name}: mean demand is {demand.mean_lps} L/s; expected more than 0")
    if len(demand.pattern) not in (24, 168) or min(demand.pattern) < 0:
        raise TwinError(
            f"{name}: demand pattern has {len(demand.pattern)} values; expected 24 (hours of the "
            "day) or 168 (hours of the week, from Monday 0:00), none below 0"
        )
    for key in ("noise_sd", "noise_ar", "season"):
        if not 0.0 <= getattr(demand, key) < 1.0:
            raise TwinError(f"{name}: {key} is {getattr(demand, key)}; expected 0 <= {key} < 1")


def demand_series(
    demand: DmaDemand, start: pd.Timestamp, hours: int, rng: np.random.Generator
) -> FloatArray:
    """Return one DMA's demand per hour from `start`, in L/s, never below 0.

    d[t] = mean * pattern[hour of the week] * (1 + season * cos(2 pi (day - 196) / 365))
    * (1 + e[t]), with e from `ar1_noise`. shape: (hours,)
    """
    hour = np.arange(hours) + start.day_of_week * 24 + start.hour
    day = start.day_of_year + (start.hour + np.arange(hours)) / 24.0
    pattern = np.asarray(demand.pattern, dtype=np.float64)[hour % len(demand.pattern)]
    season = 1.0 + demand.season * np.cos(2.0 * np.pi * (day - _PEAK_DAY) / 365.0)
    noise = ar1_noise(hours, demand.noise_sd, demand.noise_ar, rng)
    series: FloatArray = demand.mean_lps * pattern * season * np.maximum(1.0 + noise, 0.0)
    return series
