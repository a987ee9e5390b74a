"""Water demand of a district metered area (DMA) from its own SCADA: inflow, outflow and storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dtfl_app.errors import DataError
from dtfl_app.schema import TIME, iter_instances
from twin.ctown.plant import DmaDemand

__all__ = ["DmaBoundary", "DmaHours", "fit_demand", "hourly_demand"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_HOUR = np.timedelta64(1, "h")
_WEEKS_FOR_WEEKLY_PATTERN = 4  # with 10% noise an hour of the week is then known to 5%
_MIN_HOURS = 72  # three readings per hour of the day


@dataclass(frozen=True, slots=True)
class DmaBoundary:
    """Where water enters, leaves and is stored in one DMA.

    Parameters
    ----------
    areas : tank -> cross-section in m2.
    inflow, outflow : pumps and valves through which water comes in and goes out.
    """

    areas: Mapping[str, float]
    inflow: tuple[str, ...]
    outflow: tuple[str, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """All links that cross the boundary."""
        return self.inflow + self.outflow


@dataclass(frozen=True, slots=True)
class DmaHours:
    """Demand of one DMA in each hour that both its ends were recorded. shape of all: (hours,).

    Parameters
    ----------
    row : index in the SCADA series of the hour's first reading.
    slot : hour of the week from Monday 0:00, 0 to 167.
    demand_lps : mean demand of the hour in L/s.
    steady : whether no pump or valve on the boundary switched within the hour. In an hour with a
        switch the inflow is only known to lie between its two ends.
    """

    row: npt.NDArray[np.int64]
    slot: npt.NDArray[np.int64]
    demand_lps: Floats
    steady: Bools


def hourly_demand(scada: pd.DataFrame, boundary: DmaBoundary) -> DmaHours:
    """Return a DMA's demand hour by hour from its tank mass balance.

    d[t] = Q_in - Q_out - sum_k A_k (L_k[t+1] - L_k[t]) / 3600 s, with Q the mean of the flows
    recorded at t and t+1 (1 m3/s = 1000 L/s), A_k the cross-section and L_k the level of tank k.
    Hours with a missing reading or a gap are left out.

    Raises DataError when fewer than 72 hours remain.
    """
    net = _flow(scada, boundary.inflow) - _flow(scada, boundary.outflow)
    volume = sum(area * _column(scada, f"L_{tank}") for tank, area in boundary.areas.items())
    demand = (net[:-1] + net[1:]) / 2 - np.diff(volume) / 3.6
    kept = _consecutive(scada) & np.isfinite(demand)
    row = np.flatnonzero(kept)
    if row.size < _MIN_HOURS:
        raise DataError(
            f"demand of the DMA with tanks {sorted(boundary.areas)}: {row.size} usable hours of "
            f"{len(scada)}; expected at least {_MIN_HOURS} with levels and flows. Give a longer "
            "normal period"
        )
    times = pd.DatetimeIndex(scada[TIME].iloc[row])
    slot = (times.dayofweek * 24 + times.hour).to_numpy(np.int64)
    return DmaHours(row, slot, demand[row], _unswitched(scada, boundary)[row])


def fit_demand(hours: DmaHours, season: float = 0.0) -> DmaDemand:
    """Fit mean, pattern and noise of one DMA's demand.

    - mean: of all hours, every hour of the pattern weighing the same. Hours with a switch stay
      in: dropping them would drop demand, as pumps start when water is drawn.
    - pattern: mean per hour of the week from 4 weeks on, else per hour of the day; hours with a
      switch weigh less by the ratio of variances.
    - noise_sd, noise_ar: standard deviation and lag-1 autocorrelation of demand / (mean *
      pattern) - 1 over hours without a switch, with the pattern's degrees of freedom taken off.

    Parameters
    ----------
    season : yearly amplitude to keep; a year or less of data cannot tell it from a trend.

    Raises DataError when an hour of the pattern was never seen.
    """
    weekly = hours.row.size >= _WEEKS_FOR_WEEKLY_PATTERN * 168
    length = 168 if weekly else 24
    slot = hours.slot % length
    plain = _slot_means(slot, hours.demand_lps, np.ones(slot.size), length)
    spread = np.square(hours.demand_lps - plain[slot])
    weight = np.where(hours.steady, 1.0, _variance_ratio(spread, hours.steady))
    shape = _slot_means(slot, hours.demand_lps, weight, length)
    mean, pattern = float(plain.mean()), shape / shape.mean()
    if mean <= 0:
        raise DataError(
            f"mass balance gives a mean demand of {mean:g} L/s; expected more than 0. Check the "
            "flow unit (L/s), the tank areas and that the period is normal operation"
        )
    noise = hours.demand_lps / (mean * np.maximum(pattern[slot], 1e-3)) - 1
    sd, ar = _noise(noise, hours, length)
    return DmaDemand(mean, tuple(float(p) for p in np.maximum(pattern, 0.0)), sd, ar, season)


def _noise(noise: Floats, hours: DmaHours, length: int) -> tuple[float, float]:
    steady = noise[hours.steady] - noise[hours.steady].mean()
    freedom = max(1, steady.size - length)
    sd = float(np.sqrt(np.square(steady).sum() / freedom))
    pair = hours.steady[:-1] & hours.steady[1:] & (np.diff(hours.row) == 1)
    if pair.sum() < _MIN_HOURS or sd == 0:
        return min(sd, 0.95), 0.0
    lag1 = float(np.corrcoef(noise[:-1][pair], noise[1:][pair])[0, 1])
    return min(sd, 0.95), float(np.clip(lag1, 0.0, 0.95))


def _slot_means(slot: npt.NDArray[np.int64], values: Floats, weight: Floats, length: int) -> Floats:
    total = np.bincount(slot, weight, length)
    if (total == 0).any():
        raise DataError(
            f"no reading at hours {np.flatnonzero(total == 0).tolist()} of a {length} h demand "
            "pattern; give a normal period that covers every hour of the day (or week)"
        )
    means: Floats = np.bincount(slot, weight * values, length) / total
    return means


def _variance_ratio(spread: Floats, steady: Bools) -> float:
    if steady.all() or not steady.any():
        return 1.0
    return float(min(1.0, spread[steady].mean() / max(spread[~steady].mean(), 1e-12)))


def _flow(scada: pd.DataFrame, links: tuple[str, ...]) -> Floats:
    return sum((_column(scada, f"F_{link}") for link in links), np.zeros(len(scada)))


def _column(scada: pd.DataFrame, name: str) -> Floats:
    values: Floats = scada[name].to_numpy(np.float64)
    return values


def _unswitched(scada: pd.DataFrame, boundary: DmaBoundary) -> Bools:
    status = scada[[f"S_{link}" for link in boundary.links]].to_numpy(np.float64) > 0.5
    same: Bools = (status[1:] == status[:-1]).all(axis=1)
    return same


def _consecutive(scada: pd.DataFrame) -> Bools:
    times = scada[TIME].to_numpy()
    consecutive: Bools = np.diff(times) == _HOUR
    for _, rows in iter_instances(scada):
        last = int(rows.index[-1])
        if last < len(consecutive):
            consecutive[last] = False
    return consecutive
