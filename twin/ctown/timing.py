"""How often a plant's PLCs decide, from how far the tanks run past their set-points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.base import Scenario
from twin.ctown.plant import PlantModel, SetPoint
from twin.ctown.simulate import CTownTwin

__all__ = ["PLC_STEPS", "SwitchLag", "fit_plc_step", "switch_lags"]

Floats = npt.NDArray[np.float64]

# Divisors of an hour. Below 150 s hourly readings show no difference, and the solver takes long.
PLC_STEPS = (150, 180, 200, 225, 240, 300, 360, 400, 450, 600, 720, 900, 1200, 1800)
_TRIALS = (300, 900)
_MIN_FLIPS = 12
_SLOWEST = 0.02  # m/h; a level that creeps tells nothing about time
_SEED = 0  # any: the two trials share it, so that they differ by their step only


@dataclass(frozen=True, slots=True)
class SwitchLag:
    """Mean time in s from a set-point's crossing to the switch, and its standard error."""

    mean_s: float
    error_s: float


def switch_lags(
    scada: pd.DataFrame, setpoints: Mapping[str, SetPoint]
) -> dict[tuple[str, bool], SwitchLag]:
    """Return (link, switched on?) -> lag, for those with 12 usable switches or more.

    A link switches between the readings L[0] and L[1]. Before, the level moves by r m/h, after,
    by s m/h (from the hours next to it). It crosses the set-point B after u = (B - L[0]) / r
    hours and the link switches d hours later, so L[1] = B + r d + s (1 - u - d), and

    d = (L[1] - B - s (1 - u)) / (r - s)

    Means are of values cut at their 5% and 95% quantiles: a slow tank gives wild ones.
    """
    lags: dict[tuple[str, bool], SwitchLag] = {}
    for link, rule in setpoints.items():
        level = scada[f"L_{rule.tank}"].to_numpy(np.float64)
        on = scada[f"S_{link}"].to_numpy(np.float64) > 0.5
        for to, bound in ((True, rule.on_below), (False, rule.off_above)):
            lag = 3600 * _lags(level, on, to, bound)
            if lag.size >= _MIN_FLIPS:
                lag = np.clip(lag, *np.quantile(lag, [0.05, 0.95]))
                error = float(lag.std(ddof=1) / np.sqrt(lag.size))
                lags[link, to] = SwitchLag(float(lag.mean()), max(error, 1.0))
    return lags


def fit_plc_step(scada: pd.DataFrame, plant: PlantModel, hours: int) -> tuple[int, int]:
    """Fit the PLC step so that a simulated plant switches as late as the recorded one.

    The lag grows with the step (it is half a step on average, plus what hourly readings add), so
    two trials of `hours` each, at 300 s and 900 s, give a line per link, and the step is the
    weighted least-squares solution over all links, taken to the nearest of `PLC_STEPS`.

    Parameters
    ----------
    plant : with demands, set-points and hydraulics already fitted; it is simulated twice.

    Returns
    -------
    (step in s, number of links and directions behind it); the plant's own step and 0 when the
    readings hold too few switches.
    """
    read = switch_lags(scada, plant.setpoints)
    short, long = (switch_lags(_trial(plant, step, hours), plant.setpoints) for step in _TRIALS)
    shared = sorted(read.keys() & short.keys() & long.keys())
    slopes = np.array([(long[k].mean_s - short[k].mean_s) / np.ptp(_TRIALS) for k in shared])
    excess = np.array([read[k].mean_s - short[k].mean_s for k in shared])
    error = np.array([np.hypot(read[k].error_s, short[k].error_s) for k in shared])
    weight = slopes / np.square(error)
    if not weight @ slopes > 0:
        return plant.plc_step_s, 0
    step = _TRIALS[0] + float(weight @ excess / (weight @ slopes))
    return min(PLC_STEPS, key=lambda known: abs(known - step)), len(shared)


def _trial(plant: PlantModel, step: int, hours: int) -> pd.DataFrame:
    twin = CTownTwin(replace(plant, plc_step_s=step))
    return twin.simulate(Scenario(f"PLC step {step} s", hours, _SEED))


def _lags(level: Floats, on: npt.NDArray[np.bool_], to: bool, bound: float) -> Floats:
    """Return the lag of every usable switch in hours."""
    at = 1 + np.flatnonzero((on[1:-2] != on[2:-1]) & (on[2:-1] == to))
    at = at[(on[at - 1] == on[at]) & (on[at + 1] == on[at + 2])]
    towards = -1.0 if to else 1.0  # a link switches on as its tank falls
    before, after = level[at] - level[at - 1], level[at + 2] - level[at + 1]
    usable = (before * towards > _SLOWEST) & (after * towards < -_SLOWEST)
    at, before, after = at[usable], before[usable], after[usable]
    crossing = (bound - level[at]) / before
    lag: Floats = (level[at + 1] - bound - after * (1 - crossing)) / (before - after)
    return lag[np.isfinite(lag)]
