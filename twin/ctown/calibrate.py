"""Fit a C-Town plant to its own normal SCADA, and average fits that sites agreed to share.

Nothing but the series passed in is used. The steps, each in a module of its own:

1. demand of every DMA from its tank mass balance (``balance``);
2. PLC set-points from the levels at which status flips (``setpoints``);
3. pump curves and roughness from flows and pressures of single hours (``steady``);
4. PLC step from how far levels run past the set-points (``timing``);
5. sensor noise: of flow meters from links that stand still, of level sensors from the mass
   balance, of pressure sensors from the best-explained one.

Calibration in a federation: a site calibrates at home and shares its `PlantModel` and nothing
else, that is, per DMA one mean, 24 or 168 multipliers, two noise figures and one roughness factor;
two levels per PLC rule; three points per pump curve; three noise figures. No row of SCADA leaves
the site. Each multiplier is a mean of at least 3 recorded hours (in the shortest period that is
accepted), so a site for which that is too few should give a longer period. `merge_calibrations`
averages the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.ctown.balance import DemandFit, DmaHours, fit_demand, hourly_demand
from twin.ctown.network import dma_boundaries, network_of
from twin.ctown.plant import DmaDemand, PlantModel, SetPoint
from twin.ctown.scada import LINKS, SCADA
from twin.ctown.setpoints import fit_setpoint
from twin.ctown.steady import Snapshots, fit_hydraulics, readings, solve, take_snapshots
from twin.ctown.timing import PLC_STEPS, fit_plc_step
from twin.errors import DataError, TwinError
from twin.schema import ABNORMAL, LABEL

__all__ = ["CalibrationReport", "FittedQuantity", "calibrate", "merge_calibrations"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedQuantity:
    """One fitted number.

    Parameters
    ----------
    quantity, asset, unit : what was fitted, of which DMA, link or sensor kind, in which unit.
    before, after : value in the base plant and in the fitted one.
    evidence : number of hours, switches or snapshots behind it; 0 = nothing, the base was kept.
    """

    quantity: str
    asset: str
    unit: str
    before: float
    after: float
    evidence: int


@dataclass(frozen=True)
class CalibrationReport:
    """What calibration changed and how well the fitted plant explains single hours.

    Parameters
    ----------
    quantities : every fitted number.
    agreement : per flow (running) and pressure channel, root mean square of solved minus read
        over the snapshots, columns "before" and "after", in L/s and m; index "channel". NaN: the
        pump never ran in them.
    """

    quantities: tuple[FittedQuantity, ...]
    agreement: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return the fitted numbers as a table, one row each."""
        columns = list(FittedQuantity.__dataclass_fields__)
        return pd.DataFrame(
            [[getattr(q, c) for c in columns] for q in self.quantities], columns=columns
        )


def calibrate(
    scada: pd.DataFrame, base: PlantModel, snapshots: int = 120, trial_h: int = 2160
) -> tuple[PlantModel, CalibrationReport]:
    """Fit a plant to normal SCADA.

    Parameters
    ----------
    scada : labelled series in the SCADA schema, at least 72 hours (4 weeks for a weekly pattern),
        normal operation. Unlabelled rows count as normal: the caller vouches for them.
    base : plant to start from; its network file, season and the tank that each link watches are
        kept, and so is all that the readings say nothing about.
    snapshots : hours to fit hydraulics to, >= 24; 120 are enough for 0.1% without noise.
    trial_h : hours of each of the two simulations that fit the PLC step; 0 keeps the base's step.

    Returns
    -------
    The fitted plant, and the report of each number before and after.

    Raises SchemaError when the series is not in the schema, DataError when it holds abnormal rows
    or too few usable ones, TwinError when the base plant cannot be simulated.
    """
    SCADA.validate(scada, "calibration data")
    abnormal = int((scada[LABEL] == ABNORMAL).sum())
    if abnormal:
        raise DataError(
            f"calibration data: {abnormal} of {len(scada)} rows are labelled abnormal; expected "
            "normal operation only. Leave those rows out"
        )
    scada = scada.reset_index(drop=True)
    network = network_of(base)
    bounds = dma_boundaries(network)
    hours = {name: hourly_demand(scada, bound) for name, bound in bounds.items()}
    fits = {n: fit_demand(hours[n], bounds[n], base.demands[n].season) for n in bounds}
    rules = {link: fit_setpoint(scada, link, rule) for link, rule in base.setpoints.items()}
    taken = take_snapshots(scada, hours, network, snapshots)
    fitted = replace(
        fit_hydraulics(base, network, taken),
        demands={name: fit.demand for name, fit in fits.items()},
        setpoints={link: rule for link, (rule, _) in rules.items()},
    )
    before, after = (solve(plant, network, taken) for plant in (base, fitted))
    noise = _sensor_noise(scada, list(fits.values()), after - taken.read)
    fitted = replace(fitted, sensor_noise={**base.sensor_noise, **noise})
    step, lags = fit_plc_step(scada, fitted, trial_h) if trial_h else (base.plc_step_s, 0)
    fitted = replace(fitted, plc_step_s=step)
    flips = {link: count for link, (_, count) in rules.items()}
    return fitted, CalibrationReport(
        quantities=_quantities(base, fitted, hours, flips, taken, lags),
        agreement=_agreement(before, after, taken),
    )


def _sensor_noise(scada: pd.DataFrame, fits: Sequence[DemandFit], off: Floats) -> dict[str, float]:
    """Return the noise per channel kind: standard deviation in the kind's unit."""
    still = [scada.loc[scada[f"S_{link}"] < 0.5, f"F_{link}"].to_numpy() for link in LINKS]
    pressure = off[:, len(LINKS) :]
    noise = {
        "level": float(np.median([fit.level_noise for fit in fits])),
        # Noise is on top of what the model misses, so the best-explained sensor is its bound.
        "pressure": float(np.nanmin(np.nanstd(pressure, axis=0))),
    }
    if sum(map(len, still)):
        noise["flow"] = float(np.nanstd(np.concatenate(still)))
    return noise


def _agreement(before: Floats, after: Floats, taken: Snapshots) -> pd.DataFrame:
    columns = {"before": before, "after": after}
    rms = {k: _rms(taken.running(solved - taken.read)) for k, solved in columns.items()}
    return pd.DataFrame(rms, index=pd.Index(readings(), name="channel"))


def _rms(off: Floats) -> Floats:
    count = np.isfinite(off).sum(axis=0)
    total = np.nansum(np.square(off), axis=0)
    mean: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return np.sqrt(mean)


# -- the report ---------------------------------------------------------------------------------


def _quantities(
    base: PlantModel,
    fitted: PlantModel,
    hours: Mapping[str, DmaHours],
    flips: Mapping[str, int],
    taken: Snapshots,
    lags: int,
) -> tuple[FittedQuantity, ...]:
    step, fitted_step = float(base.plc_step_s), float(fitted.plc_step_s)
    return (
        *(q for name, h in hours.items() for q in _of_demand(name, base, fitted, h)),
        *(q for link, count in flips.items() for q in _of_setpoint(link, base, fitted, count)),
        *(q for pump in base.pump_curves for q in _of_pump(pump, base, fitted, taken)),
        *_of_roughness(base, fitted, len(taken)),
        *_of_sensors(base, fitted, len(taken)),
        FittedQuantity("PLC step", "all", "s", step, fitted_step, lags),
    )


def _of_demand(
    name: str, base: PlantModel, fitted: PlantModel, hours: DmaHours
) -> list[FittedQuantity]:
    old, new = base.demands[name], fitted.demands[name]
    rows = [
        ("mean demand", "L/s", old.mean_lps, new.mean_lps),
        ("lowest hour of pattern", "1", min(old.pattern), min(new.pattern)),
        ("highest hour of pattern", "1", max(old.pattern), max(new.pattern)),
        ("demand noise, sd", "1", old.noise_sd, new.noise_sd),
        ("demand noise, lag-1", "1", old.noise_ar, new.noise_ar),
    ]
    return [FittedQuantity(q, name, unit, b, a, hours.row.size) for q, unit, b, a in rows]


def _of_setpoint(
    link: str, base: PlantModel, fitted: PlantModel, count: int
) -> list[FittedQuantity]:
    old, new = base.setpoints[link], fitted.setpoints[link]
    return [
        FittedQuantity("on below", link, "m", old.on_below, new.on_below, count),
        FittedQuantity("off above", link, "m", old.off_above, new.off_above, count),
    ]


def _of_pump(
    pump: str, base: PlantModel, fitted: PlantModel, taken: Snapshots
) -> list[FittedQuantity]:
    (_, old), (new_flow, new) = base.pump_curves[pump][0], fitted.pump_curves[pump][0]
    old_flow, last = base.pump_curves[pump][-1][0], fitted.pump_curves[pump][-1][0]
    runs = int(taken.on[:, LINKS.index(pump)].sum())
    return [
        FittedQuantity(f"head at {new_flow:g} L/s", pump, "m", old, new, runs),
        FittedQuantity("flow at last point", pump, "L/s", old_flow, last, runs),
    ]


def _of_roughness(base: PlantModel, fitted: PlantModel, count: int) -> list[FittedQuantity]:
    return [
        FittedQuantity(
            "roughness factor", area or "outside", "1", base.roughness.get(area, 1.0), factor, count
        )
        for area, factor in fitted.roughness.items()
    ]


def _of_sensors(base: PlantModel, fitted: PlantModel, count: int) -> list[FittedQuantity]:
    units = {"level": "m", "flow": "L/s", "pressure": "m"}
    return [
        FittedQuantity("sensor noise, sd", k, units[k], base.sensor_noise.get(k, 0.0), sd, count)
        for k, sd in fitted.sensor_noise.items()
    ]


# -- several sites ------------------------------------------------------------------------------


def merge_calibrations(models: Sequence[PlantModel], weights: Sequence[float]) -> PlantModel:
    """Average the plants that sites calibrated at home, weighted, e.g. by hours of data.

    Every number is the weighted mean of the sites' numbers: x = sum_i w_i x_i / sum_i w_i. Demand
    is averaged hour by hour, a daily pattern counting as the same day seven times; a mean PLC step
    becomes the nearest of ``timing.PLC_STEPS``, as it must divide an hour.

    Parameters
    ----------
    models : fitted plants of the same network file, links and curve lengths.
    weights : one per model, none below 0, sum above 0.

    Raises TwinError when the models cannot be averaged or the weights do not fit.
    """
    if not models or len(models) != len(weights):
        raise TwinError(f"{len(models)} plant models and {len(weights)} weights; expected as many")
    if min(weights) < 0 or sum(weights) <= 0:
        raise TwinError(f"weights are {list(weights)}; expected none below 0 and a sum above 0")
    _check_mergeable(models)
    share = np.asarray(weights, dtype=np.float64) / sum(weights)
    first = models[0]
    return replace(
        first,
        demands={n: _mean_demand([m.demands[n] for m in models], share) for n in first.demands},
        setpoints={k: _mean_rule([m.setpoints[k] for m in models], share) for k in first.setpoints},
        pump_curves={
            p: _mean_curve([m.pump_curves[p] for m in models], share) for p in first.pump_curves
        },
        roughness=_mean_values([m.roughness for m in models], share, 1.0),
        plc_step_s=_mean_step([m.plc_step_s for m in models], share),
        sensor_noise=_mean_values([m.sensor_noise for m in models], share, 0.0),
    )


def _check_mergeable(models: Sequence[PlantModel]) -> None:
    for number, model in enumerate(models):
        for field, ours, theirs in zip(_FORM, _form_of(models[0]), _form_of(model), strict=True):
            if ours != theirs:
                raise TwinError(
                    f"plant model {number}: {field} is {theirs}, that of plant model 0 is {ours}; "
                    "only plants of one form can be averaged"
                )


_FORM = ("network", "DMAs", "tanks of set-points", "points per pump curve")


def _form_of(model: PlantModel) -> tuple[object, ...]:
    return (
        model.network,
        sorted(model.demands),
        {link: rule.tank for link, rule in model.setpoints.items()},
        {pump: len(curve) for pump, curve in model.pump_curves.items()},
    )


def _mean_demand(demands: Sequence[DmaDemand], share: Floats) -> DmaDemand:
    weeks = [d.mean_lps * np.resize(d.pattern, 168) for d in demands]
    week = share @ np.array(weeks)  # L/s. shape: (168,)
    noise_sd, noise_ar, season = share @ np.array(
        [(d.noise_sd, d.noise_ar, d.season) for d in demands]
    )
    mean = float(week.mean())
    pattern = tuple((week / mean).tolist())
    return DmaDemand(mean, pattern, float(noise_sd), float(noise_ar), float(season))


def _mean_rule(rules: Sequence[SetPoint], share: Floats) -> SetPoint:
    on_below, off_above = share @ np.array([(r.on_below, r.off_above) for r in rules])
    return SetPoint(rules[0].tank, float(on_below), float(off_above))


def _mean_curve(
    curves: Sequence[tuple[tuple[float, float], ...]], share: Floats
) -> tuple[tuple[float, float], ...]:
    points = np.tensordot(share, np.array(curves), axes=1)  # shape: (points, 2)
    return tuple((float(flow), float(head)) for flow, head in points)


def _mean_step(steps: Sequence[int], share: Floats) -> int:
    if len(set(steps)) == 1:
        return steps[0]
    mean = float(share @ np.array(steps))
    return min(PLC_STEPS, key=lambda known: abs(known - mean))


def _mean_values(
    values: Sequence[Mapping[str, float]], share: Floats, absent: float
) -> dict[str, float]:
    names = sorted({name for value in values for name in value})
    table = np.array([[value.get(name, absent) for name in names] for value in values])
    return dict(zip(names, (share @ table).tolist(), strict=True)) if names else {}
