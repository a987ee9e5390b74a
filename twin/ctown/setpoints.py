"""PLC set-points from SCADA: the tank levels at which a pump's or valve's status flips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.ctown.plant import SetPoint

__all__ = ["fit_setpoint"]

Floats = npt.NDArray[np.float64]

_MIN_FLIPS = 12  # below that the extrapolation to the edge is worse than its bound
_NARROWEST = 0.01  # m between the two set-points: they must not meet
_NEAR, _FAR = 0.02, 0.10  # quantiles of the levels last seen before a flip


def fit_setpoint(scada: pd.DataFrame, link: str, base: SetPoint) -> tuple[SetPoint, int]:
    """Fit the set-points of one link; returns them and the number of times it switched on.

    With readings an hour apart a flip is never seen at its very level. What is certain: while
    the link is off, its tank is above `on_below`, while it is on, the tank is below `off_above`.
    So the levels last read before the link switches on start at `on_below`, and their lower edge
    is the set-point (upper edge and `off_above` likewise). The edge is extrapolated from the 2%
    and 10% quantiles, as if the levels were spread evenly above it:
    edge = q02 - (q10 - q02) * 0.02 / (0.10 - 0.02).
    The quantiles keep a few wrong readings and sensor noise from moving it, as a minimum would.

    A bound with under 12 flips keeps the value of `base`, moved only as far as the readings
    require: `on_below` down to the 0.1% quantile of the levels with the link off, `off_above` up
    to the 99.9% quantile of those with it on.
    """
    level, on = _readings(scada, link, base.tank)
    starts, stops = _before_flip(level, on, True), _before_flip(level, on, False)
    on_below = _edge(starts) if starts.size >= _MIN_FLIPS else _bound(level[~on], base.on_below)
    off_above = -_edge(-stops) if stops.size >= _MIN_FLIPS else -_bound(-level[on], -base.off_above)
    off_above = max(off_above, on_below + _NARROWEST)
    return replace(base, on_below=on_below, off_above=off_above), int(starts.size)


def _readings(scada: pd.DataFrame, link: str, tank: str) -> tuple[Floats, npt.NDArray[np.bool_]]:
    rows = scada[[f"L_{tank}", f"S_{link}"]].dropna()
    return rows[f"L_{tank}"].to_numpy(np.float64), rows[f"S_{link}"].to_numpy(np.float64) > 0.5


def _before_flip(level: Floats, on: npt.NDArray[np.bool_], to: bool) -> Floats:
    before: Floats = level[:-1][(on[1:] != on[:-1]) & (on[1:] == to)]
    return before


def _edge(levels: Floats) -> float:
    near, far = np.quantile(levels, [_NEAR, _FAR])
    return float(near - (far - near) * _NEAR / (_FAR - _NEAR))


def _bound(levels: Floats, known: float) -> float:
    return float(min(known, np.quantile(levels, 0.001))) if levels.size else known
