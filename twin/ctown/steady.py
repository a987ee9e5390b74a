"""Pump curves and pipe roughness from SCADA: make solved hours agree with recorded ones.

An hour's levels, switches and demands fix its hydraulics. So instead of simulating weeks and
comparing their statistics, single recorded hours are solved with the levels, switches and
demands that they had, and the flows and pressures that come out are compared with those read.
Errors of one hour do not run into the next, and a hundred hours are solved in a tenth of a second.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import least_squares

from twin.ctown.balance import DmaHours
from twin.ctown.hydraulics import Hydraulics
from twin.ctown.network import DMA_TANKS, Network
from twin.ctown.plant import PlantModel
from twin.ctown.scada import LINKS, PRESSURE_NODES, PUMPS, TANKS, VALVE
from twin.ctown.scenario_file import scenario_inp
from twin.errors import DataError, ScenarioError

__all__ = ["Snapshots", "fit_hydraulics", "readings", "scaled_curve", "solve", "take_snapshots"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Curve = tuple[tuple[float, float], ...]

_TANK_LEVEL, _PATTERN_START, _FRESH_FLOWS = 8, 4, 10  # EPANET 2.2 toolkit codes
_MIN_SNAPSHOTS = 24
_MIN_RUNNING = 6  # snapshots in which a pump must run for a curve of its own
_PRIOR_SD = 0.5  # relative sd of curves and roughness around their base: weak, but a direction
_BOUND = float(np.log(4.0))  # no factor beyond a quarter or fourfold
_CONSTANT = 1e-3  # L/s or m; below it a channel's sd is rounding
_DIFF_STEP = 1e-2  # EPANET stops at 0.1% flow change: smaller steps would see that, not the slope


@dataclass(frozen=True)
class Snapshots:
    """Recorded hours without a switch, and what was read in them; n = number of hours.

    Parameters
    ----------
    levels : per tank of ``scada.TANKS``, m. shape: (n, 7)
    on : per link of ``scada.LINKS``. shape: (n, 12)
    demands : DMA -> L/s. shape: (n,) each
    flows : per link, L/s. shape: (n, 12)
    pressures : per node of ``scada.PRESSURE_NODES``, m. shape: (n, 12)
    """

    levels: Floats
    on: Bools
    demands: Mapping[str, Floats]
    flows: Floats
    pressures: Floats

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def read(self) -> Floats:
        """Flows and pressures side by side, columns as in `readings`. shape: (n, 24)"""
        return np.hstack([self.flows, self.pressures])

    def running(self, values: Floats) -> Floats:
        """Return `values` (n, 24) with NaN for the flow of a link that is off."""
        known = np.hstack([self.on, np.ones_like(self.pressures, dtype=bool)])
        kept: Floats = np.where(known, values, np.nan)
        return kept


class _SteadyHydraulics(Hydraulics):
    """EPANET restarted at will: any levels, switches and hour of the demand series."""

    def restart(self, levels: Floats, on: Bools, hour: int) -> None:
        for tank, level in zip(TANKS, levels, strict=True):
            self.call(
                "EN_setnodevalue", self.node_indices[tank], _TANK_LEVEL, ctypes.c_double(level)
            )
        self.call("EN_settimeparam", _PATTERN_START, ctypes.c_long(3600 * hour))
        self.call("EN_initH", _FRESH_FLOWS)
        for link, is_on in zip(LINKS, on, strict=True):
            if link == VALVE:
                self.set_valve(link, bool(is_on))
            else:
                self.set_pump(link, float(is_on))


def take_snapshots(
    scada: pd.DataFrame, hours: Mapping[str, DmaHours], network: Network, count: int
) -> Snapshots:
    """Take up to `count` hours, spread evenly over those that are complete and without a switch.

    Levels are cut at the tanks' floor and highest level, where sensor noise can exceed them.

    Raises DataError when fewer than 24 such hours were recorded.
    """
    readable = scada[[*readings(), *(f"L_{t}" for t in TANKS)]].notna().all(axis=1).to_numpy()
    usable = set(np.flatnonzero(readable))
    for dma in hours.values():
        usable &= set(dma.row[dma.steady])
    if len(usable) < _MIN_SNAPSHOTS:
        raise DataError(
            f"{len(usable)} complete hours without a pump switch in {len(scada)} rows; expected "
            f"at least {_MIN_SNAPSHOTS} to fit pump curves and roughness. Give a longer period"
        )
    rows = np.array(sorted(usable))
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    taken = scada.iloc[rows]
    highest = [network.tanks[tank].max_level for tank in TANKS]
    return Snapshots(
        levels=np.clip(_matrix(taken, "L", TANKS), 0.0, highest),
        on=_matrix(taken, "S", LINKS) > 0.5,
        demands={n: h.demand_lps[np.searchsorted(h.row, rows)] for n, h in hours.items()},
        flows=_matrix(taken, "F", LINKS),
        pressures=_matrix(taken, "P", PRESSURE_NODES),
    )


def readings() -> list[str]:
    """Names of the SCADA channels that `solve` predicts, in its column order."""
    return [*(f"F_{link}" for link in LINKS), *(f"P_{node}" for node in PRESSURE_NODES)]


def solve(plant: PlantModel, network: Network, snapshots: Snapshots) -> Floats:
    """Return the flows (L/s) and pressures (m) that `plant` has in each snapshot.

    shape: (n, 24), columns as in `readings`; NaN where the hydraulics do not converge.
    """
    start = dict(zip(TANKS, snapshots.levels[0].tolist(), strict=True))
    demands = {name: np.maximum(lps, 0.0) for name, lps in snapshots.demands.items()}
    inp = scenario_inp(plant, network, start, demands)
    solved = np.full((len(snapshots), len(readings())), np.nan)
    with _SteadyHydraulics(inp, "calibration") as hydraulics:
        for hour in range(len(snapshots)):
            hydraulics.restart(snapshots.levels[hour], snapshots.on[hour], hour)
            try:
                hydraulics.solve()
            except ScenarioError:
                continue
            flows = [hydraulics.flow(link) for link in LINKS]
            solved[hour] = flows + [hydraulics.pressure(node) for node in PRESSURE_NODES]
    return solved


def fit_hydraulics(plant: PlantModel, network: Network, snapshots: Snapshots) -> PlantModel:
    """Fit pump curves and roughness factors to recorded flows and pressures.

    Every pump that runs in 6 snapshots or more gets two factors, h on head and q on flow: its
    curve H(Q) becomes h * H(Q / q). A stand-by pump takes the mean factors of its station's
    others. Every DMA, and the mains outside, gets one factor on its roughness. The factors
    minimise, in robust least squares (soft L1) over all snapshots and channels,

    sum ((solved - read) / sd of the channel)^2 + sum (log factor / 0.5)^2

    The second term keeps a factor that the readings say nothing about at its base.
    """
    fit = _Fit(plant, network, snapshots)
    found = least_squares(
        fit.residuals,
        # Around 1 and not 0: scipy's step is relative to the variable.
        np.ones(fit.size),
        bounds=(1 - _BOUND, 1 + _BOUND),
        loss="soft_l1",
        diff_step=_DIFF_STEP,
        x_scale=0.1,
        ftol=1e-4,
        xtol=1e-3,
        max_nfev=15,
    )
    return fit.plant(found.x)


class _Fit:
    """The least-squares problem: vector of 1 + log factors -> plant -> residuals."""

    def __init__(self, base: PlantModel, network: Network, snapshots: Snapshots) -> None:
        self._base, self._network, self._snapshots = base, network, snapshots
        self._scale = _channel_scale(snapshots)
        running = dict(zip(LINKS, snapshots.on.sum(axis=0), strict=True))
        self._pumps = [pump for pump in PUMPS if running[pump] >= _MIN_RUNNING]
        self._areas = [*DMA_TANKS, ""]
        self.size = 2 * len(self._pumps) + len(self._areas)

    def plant(self, x: Floats) -> PlantModel:
        factors = np.exp(x - 1)
        split = 2 * len(self._pumps)
        pairs = factors[:split].reshape(-1, 2)
        heads = _with_standby(dict(zip(self._pumps, pairs[:, 0], strict=True)), self._network)
        flows = _with_standby(dict(zip(self._pumps, pairs[:, 1], strict=True)), self._network)
        curves = {
            pump: scaled_curve(curve, heads.get(pump, 1.0), flows.get(pump, 1.0))
            for pump, curve in self._base.pump_curves.items()
        }
        roughness = {
            area: self._base.roughness.get(area, 1.0) * float(factor)
            for area, factor in zip(self._areas, factors[split:], strict=True)
        }
        return replace(self._base, pump_curves=curves, roughness=roughness)

    def residuals(self, x: Floats) -> Floats:
        solved = solve(self.plant(x), self._network, self._snapshots)
        off = (solved - self._snapshots.read) / self._scale
        # A plant whose hydraulics fail must lose against every plant whose do not.
        off = np.nan_to_num(off, nan=10.0)
        return np.concatenate([off.ravel(), (x - 1) / _PRIOR_SD])


def scaled_curve(curve: Curve, head: float, flow: float) -> Curve:
    """Return the pump curve head * H(Q / flow) of the curve H(Q)."""
    return tuple((float(q * flow), float(h * head)) for q, h in curve)


def _with_standby(factors: dict[str, float], network: Network) -> dict[str, float]:
    """Give a pump without a factor the mean of those between the same two areas."""
    station = {p: tuple(network.dma[node] for node in network.ends[p]) for p in PUMPS}
    filled = dict(factors)
    for pump in PUMPS:
        mates = [f for p, f in factors.items() if station[p] == station[pump]]
        if pump not in factors and mates:
            filled[pump] = float(np.mean(mates))
    return filled


def _channel_scale(snapshots: Snapshots) -> Floats:
    """Sd of what was read per channel, noise included, of flows while on; 1 if it is constant."""
    judged = snapshots.running(snapshots.read)
    judged = np.where(np.isfinite(judged).any(axis=0), judged, 0.0)
    sd = np.nanstd(judged, axis=0)
    return np.where(sd > _CONSTANT, sd, 1.0)


def _matrix(scada: pd.DataFrame, quantity: str, names: tuple[str, ...]) -> Floats:
    values: Floats = scada[[f"{quantity}_{name}" for name in names]].to_numpy(np.float64)
    return values
