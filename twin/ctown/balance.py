"""Water demand of a district metered area (DMA) from its own SCADA: inflow, outflow and storage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.ctown.network import DmaBoundary
from twin.ctown.plant import DmaDemand
from twin.errors import DataError
from twin.schema import TIME, iter_instances

__all__ = [
    "DemandFit",
    "DmaHours",
    "fit_demand",
    "hourly_demand",
    "split_noise",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_HOUR = np.timedelta64(1, "h")
_WEEKS_FOR_WEEKLY_PATTERN = 4  # with 10% noise an hour of the week is then known to 5%
_MIN_HOURS = 72  # three readings per hour of the day
_LARGEST = 0.95  # of noise sd and autocorrelation: a plant model takes values below 1


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
    slot = (times.day_of_week * 24 + times.hour).to_numpy(np.int64)
    return DmaHours(row, slot, demand[row], _unswitched(scada, boundary)[row])


@dataclass(frozen=True, slots=True)
class DemandFit:
    """Fitted water use of one DMA, and what its mass balance tells about the level sensors.

    Parameters
    ----------
    demand : the fitted water use.
    level_noise : standard deviation of the tanks' level sensors in m; 0 = none can be told.
    """

    demand: DmaDemand
    level_noise: float


def fit_demand(hours: DmaHours, boundary: DmaBoundary, season: float = 0.0) -> DemandFit:
    """Fit mean, pattern and noise of one DMA's demand.

    - mean: of all hours, every hour of the pattern weighing the same. Hours with a switch stay
      in: dropping them would drop demand, as pumps start when water is drawn.
    - pattern: mean per hour of the week from 4 weeks on, else per hour of the day; hours with a
      switch weigh less by the ratio of variances.
    - noise_sd, noise_ar: from the autocovariance of e = demand / (mean * pattern) - 1 over hours
      without a switch, with the pattern's degrees of freedom taken off and the level sensors'
      part split off (see `split_noise`). Noise of the flow meters stays in: it is small.

    Parameters
    ----------
    season : yearly amplitude to keep; a year or less of data cannot tell it from a trend.

    Raises DataError when an hour of the pattern was never seen or the mean is not above 0.
    """
    mean, pattern = _mean_and_pattern(hours)
    expected = mean * np.maximum(pattern[hours.slot % pattern.size], 1e-3)
    covariance, pairs = _autocovariance(hours.demand_lps / expected - 1, hours, pattern.size)
    variance, ar, part = split_noise(*covariance, pairs)
    # A level reading is off by s: the balance of its hour is by A s / 3.6, of the next by minus it.
    squares = sum(area**2 for area in boundary.areas.values()) * np.mean(expected**-2.0)
    demand = DmaDemand(
        mean_lps=mean,
        pattern=tuple(pattern.tolist()),
        noise_sd=float(min(np.sqrt(variance), _LARGEST)),
        noise_ar=ar,
        season=season,
    )
    return DemandFit(demand, float(3.6 * np.sqrt(part / squares)))


def split_noise(lag0: float, lag1: float, lag2: float, pairs: int) -> tuple[float, float, float]:
    """Split the autocovariance of a mass balance into demand noise and level-sensor noise.

    Demand noise is autoregressive with variance S and coefficient f, sensor noise enters as a
    difference of independent errors with variance m each:

    lag0 = S + 2 m,   lag1 = f S - m,   lag2 = f^2 S

    Lags that cannot be told from 0 by `pairs` readings (2 standard errors) count as 0, and so
    does an m below that.

    Returns
    -------
    (S, f, m), with f in [0, 0.95] and m >= 0.
    """
    error = 2 * lag0 / np.sqrt(max(pairs, 1))
    lag2 = lag2 if lag2 > error else 0.0
    slope = lag1 + lag2
    m = -slope + np.sqrt(max(slope**2 - lag1**2 + lag2 * lag0, 0.0)) if lag2 else -lag1
    m = float(min(m, lag0 / 2)) if m > error else 0.0
    variance = lag0 - 2 * m
    ar = float(np.clip((lag1 + m) / variance, 0.0, _LARGEST)) if variance > 0 else 0.0
    return variance, ar, m


def _mean_and_pattern(hours: DmaHours) -> tuple[float, Floats]:
    length = 168 if hours.row.size >= _WEEKS_FOR_WEEKLY_PATTERN * 168 else 24
    slot = hours.slot % length
    plain = _slot_means(slot, hours.demand_lps, np.ones(slot.size), length)
    spread = np.square(hours.demand_lps - plain[slot])
    weight = np.where(hours.steady, 1.0, _variance_ratio(spread, hours.steady))
    shape = np.maximum(_slot_means(slot, hours.demand_lps, weight, length), 0.0)
    mean = float(plain.mean())
    if mean <= 0:
        raise DataError(
            f"mass balance gives a mean demand of {mean:g} L/s; expected more than 0. Check the "
            "flow unit (L/s), the tank areas and that the period is normal operation"
        )
    return mean, shape / shape.mean()


def _autocovariance(
    noise: Floats, hours: DmaHours, length: int
) -> tuple[tuple[float, float, float], int]:
    """Return the covariance at lags 0, 1 and 2 over steady hours, and the pairs at lag 1."""
    centred = noise - noise[hours.steady].mean()
    # The pattern was fitted to the same hours: each of its values takes one degree of freedom.
    used = min(int(hours.steady.sum()) - 1, length)
    lags, pairs = [], 0
    for lag in range(3):
        near = slice(None, len(noise) - lag), slice(lag, None)
        pair = hours.steady[near[0]] & hours.steady[near[1]]
        pair &= hours.row[near[1]] - hours.row[near[0]] == lag
        total = float((centred[near[0]] * centred[near[1]])[pair].sum())
        lags.append(total / max(1, pair.sum() - (used if lag == 0 else 0)))
        pairs = int(pair.sum()) if lag == 1 else pairs
    return (lags[0], lags[1], lags[2]), pairs


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
