"""The plant a twin starts from: facts of the BATADAL plant, or whatever a named file says.

The embedded network file is C-Town before calibration: the right pipes and tanks, but no demand,
stronger pumps and other set-points. The figures here make it a sound plant of its own. Sources:
mean demands by mass balance of BATADAL's normal year; pump curves and roughness of the calibrated
C-Town model; set-points of the BATADAL PLCs (Taormina et al. 2018, doi
10.1061/(ASCE)WR.1943-5452.0000969).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twin.ctown.network import DMA_TANKS, Network, ctown_file, demand_categories, load_network
from twin.ctown.plant import DmaDemand, PlantModel, SetPoint
from twin.ctown.scada import LINKS, PUMPS, TANKS
from twin.errors import TwinError

__all__ = ["SETPOINTS", "default_plant", "diurnal_pattern"]

#: Hourly demand noise of BATADAL's normal year around each DMA's own week: standard deviation 0.10
#: to 0.11 in all five, autocorrelation 0.01 to 0.07 (hours in which no pump switched).
_NOISE_SD, _NOISE_AR = 0.10, 0.0
_MEAN_LPS = {"DMA1": 67.4, "DMA2": 41.9, "DMA3": 14.7, "DMA4": 25.2, "DMA5": 21.1}

#: Set-points of the BATADAL plant, m. PU3, PU5, PU6, PU9 and PU11 stand by; PU3 and PU9 have none.
SETPOINTS: Mapping[str, SetPoint] = {
    "PU1": SetPoint("T1", 4.0, 6.3),
    "PU2": SetPoint("T1", 1.0, 4.5),
    "V2": SetPoint("T2", 0.5, 5.5),
    "PU4": SetPoint("T3", 3.0, 5.3),
    "PU5": SetPoint("T3", 1.0, 3.5),
    "PU6": SetPoint("T4", 2.0, 3.5),
    "PU7": SetPoint("T4", 3.0, 4.5),
    "PU8": SetPoint("T5", 1.5, 4.0),
    "PU10": SetPoint("T7", 2.5, 4.8),
    "PU11": SetPoint("T7", 1.0, 3.0),
}

_Curve = tuple[tuple[float, float], ...]
_SOURCE_CURVE: _Curve = ((0.0, 70.0), (60.0, 50.0), (100.0, 30.0))
_ZONE_CURVE: _Curve = ((0.0, 90.0), (30.0, 70.0), (50.0, 30.0))
_HILL_CURVE: _Curve = ((0.0, 120.0), (30.0, 110.0), (70.0, 30.0))
_SMALL_CURVE: _Curve = ((0.0, 90.0), (30.0, 50.0), (40.0, 10.0))
_PUMP_CURVES: dict[str, _Curve] = {
    **dict.fromkeys(("PU1", "PU2", "PU3"), _SOURCE_CURVE),
    **dict.fromkeys(("PU4", "PU5", "PU8", "PU9"), _ZONE_CURVE),
    **dict.fromkeys(("PU6", "PU7"), _HILL_CURVE),
    **dict.fromkeys(("PU10", "PU11"), _SMALL_CURVE),
}
#: Seconds between PLC decisions for a calibrated file. With demands fitted to BATADAL's normal
#: year, the distance to it (mean Kolmogorov-Smirnov over channels) is 0.007 at 300 s, 0.008 at
#: 600 s, 0.011 at 900 s, 0.048 at 3600 s; 300 s takes twice as long as 900 s. Between two embedded
#: plants, which share the step, it buys nothing: they keep the plant model's default.
_FILE_PLC_STEP_S = 300

#: Median Hazen-Williams roughness of the calibrated model, relative to the embedded file's 100.
_ROUGHNESS = 0.91

#: Typical household water use per hour of the day: a morning and an evening peak, a quiet night.
_WEEKDAY = (
    *(0.62, 0.52, 0.47, 0.45, 0.48, 0.60, 0.85, 1.08, 1.18, 1.20, 1.17, 1.14),
    *(1.15, 1.12, 1.06, 1.03, 1.05, 1.12, 1.22, 1.28, 1.24, 1.12, 0.95, 0.78),
)
#: At weekends the morning peak comes two hours later and is higher.
_WEEKEND = (
    *(0.68, 0.57, 0.50, 0.46, 0.46, 0.50, 0.60, 0.80, 1.05, 1.25, 1.33, 1.32),
    *(1.27, 1.20, 1.13, 1.08, 1.08, 1.12, 1.20, 1.26, 1.22, 1.10, 0.95, 0.80),
)


def diurnal_pattern() -> tuple[float, ...]:
    """Return the default demand multipliers per hour of the week, mean 1. 168 values."""
    week = np.array([*_WEEKDAY * 5, *_WEEKEND * 2])
    return tuple((week / week.mean()).tolist())


def default_plant(network: str = "") -> PlantModel:
    """Return the plant of a network file.

    network = "" gives the embedded file with the facts of this module. A named file speaks for
    itself: demands, patterns, pump curves and set-points are read from it; demand noise and the
    PLCs' step, which no EPANET file holds, are those of BATADAL. Raises TwinError when the file is
    missing, is not C-Town, or lacks one of these.
    """
    if network:
        return _plant_of_file(network)
    pattern = diurnal_pattern()
    return PlantModel(
        demands={name: _demand(mean, pattern) for name, mean in _MEAN_LPS.items()},
        setpoints=SETPOINTS,
        pump_curves=_PUMP_CURVES,
        roughness=dict.fromkeys([*DMA_TANKS, ""], _ROUGHNESS),
    )


def _plant_of_file(path: str) -> PlantModel:
    bare = PlantModel(demands={}, setpoints={}, pump_curves={}, network=path)
    network = load_network(ctown_file(bare))
    return PlantModel(
        demands=_file_demands(network),
        setpoints=_file_setpoints(network),
        pump_curves=_file_pump_curves(network),
        network=path,
        plc_step_s=_FILE_PLC_STEP_S,
    )


def _file_demands(network: Network) -> dict[str, DmaDemand]:
    """Add up base demand times pattern over each DMA's junctions, hour of the week by hour."""
    totals = {name: np.zeros(168) for name in DMA_TANKS}
    for node, base, multipliers in demand_categories(network.sections):
        if name := network.dma[node]:
            totals[name] += base * _week(multipliers, network)
    empty = [name for name, total in totals.items() if total.mean() <= 0]
    if empty:
        raise TwinError(
            f"network file {network.path}: no demand in {empty}; give a file with demands, or "
            "calibrate the plant from SCADA"
        )
    return {
        name: _demand(float(total.mean()), tuple((total / total.mean()).tolist()))
        for name, total in totals.items()
    }


def _demand(mean_lps: float, pattern: tuple[float, ...]) -> DmaDemand:
    return DmaDemand(mean_lps, pattern, noise_sd=_NOISE_SD, noise_ar=_NOISE_AR)


def _week(multipliers: tuple[float, ...], network: Network) -> np.ndarray:
    if 168 % len(multipliers):
        raise TwinError(
            f"network file {network.path}: a demand pattern has {len(multipliers)} values; "
            "expected a divisor of 168 (hours of the week)"
        )
    return np.tile(multipliers, 168 // len(multipliers))


def _file_setpoints(network: Network) -> dict[str, SetPoint]:
    """Read "LINK x OPEN|CLOSED|speed IF NODE tank BELOW|ABOVE level" rows of [CONTROLS]."""
    bounds: dict[str, dict[str, tuple[str, float]]] = {}
    for row in network.sections.get("CONTROLS", ()):
        words = [word.upper() for word in row]
        if len(words) == 8 and words[1] in LINKS and words[5] in TANKS:
            bounds.setdefault(words[1], {})[words[6]] = (words[5], float(words[7]))
    broken = sorted(link for link, bound in bounds.items() if set(bound) != {"ABOVE", "BELOW"})
    if broken or not bounds:
        raise TwinError(
            f"network file {network.path}: [CONTROLS] lack a BELOW or an ABOVE row for "
            f"{broken or list(LINKS)}; expected 'LINK PU1 OPEN IF NODE T1 BELOW 4' and its pair"
        )
    return {
        link: SetPoint(bound["BELOW"][0], bound["BELOW"][1], bound["ABOVE"][1])
        for link, bound in bounds.items()
    }


def _file_pump_curves(network: Network) -> dict[str, _Curve]:
    points: dict[str, list[tuple[float, float]]] = {}
    for row in network.sections.get("CURVES", ()):
        points.setdefault(row[0], []).append((float(row[1]), float(row[2])))
    curves = {
        row[0]: tuple(points.get(row[4], ()))
        for row in network.sections["PUMPS"]
        if len(row) > 4 and row[3].upper() == "HEAD"
    }
    missing = [pump for pump in PUMPS if not curves.get(pump)]
    if missing:
        raise TwinError(f"network file {network.path}: no head curve for pumps {missing}")
    return {pump: curves[pump] for pump in PUMPS}
