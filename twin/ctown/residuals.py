"""Physical residuals of the C-Town plant, from SCADA readings alone: where they break a law.

Three laws hold in normal operation whatever the demand: PLCs obey their set-points, a pump lifts
water along its head curve, and a district gains as much water as flows in less what is drawn. Each
residual is what a reading misses its law by. None is learned, so none has to be trained; a
threshold for them is calibrated like that of any other score.

The plant's owner knows what is needed: set-points, pump curves and tank areas (`PlantModel` and its
network file) and, for the balance, the demand to expect by hour of the week (`demand_sums`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dtfl_app.errors import DataError, TwinError
from dtfl_app.schema import INSTANCE, LABEL, TIME
from twin.ctown.balance import DmaBoundary, dma_boundaries
from twin.ctown.network import DMA_TANKS, Network, network_of
from twin.ctown.plant import PlantModel, SetPoint
from twin.ctown.scada import LINKS, PUMPS, STATION_PRESSURES, TANK_LINKS

__all__ = [
    "BALANCE_HOURS",
    "DMAS",
    "SLOTS",
    "STATIONS",
    "DemandSums",
    "balance_residual",
    "demand_sums",
    "plc_contradiction",
    "pump_residual",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: Hours of the week, from Monday 0:00.
SLOTS = 168
#: Districts, in the order of the balance's columns.
DMAS: tuple[str, ...] = tuple(DMA_TANKS)
#: Tanks that a pump station fills, in the order of the pumps' columns.
STATIONS: tuple[str, ...] = tuple(
    tank for tank, links in TANK_LINKS.items() if any(link in PUMPS for link in links)
)
#: The balance of one hour carries 10% demand noise; over four the noise averages out, an attack
#: does not. Longer means would find attacks later.
BALANCE_HOURS = 4

# Part of a district's mean demand below which no hour's expected demand is taken to be known.
_LEAST_DEMAND = 0.25
# m; a link without a rule never runs, and when it does no level says by how much that is wrong.
_NEVER_ON = 1.0
_L_PER_M3, _S_PER_H = 1000.0, 3600.0
_M_PER_LPS = _S_PER_H / _L_PER_M3  # m of level per hour, per L/s and m2


def plc_contradiction(scada: pd.DataFrame, plant: PlantModel) -> pd.DataFrame:
    """Return by how many metres each pump's or valve's status contradicts its set-points.

    A link may only come on once its tank's level was at or below `on_below` and only go off once it
    was at or above `off_above`. Between two hourly readings a and c the level may have been lower
    or higher: with links that change its speed by v (m/h, their flow over the tank's area), the
    furthest it can reach is ``(a + c) / 2 -+ (v^2 + (a - c)^2) / (4 v)``. What a change of status
    still lacks to its set-point, or what a status holds out beyond the opposite one, is its
    contradiction; it stays until the status changes again or a reading justifies it.

    Parameters
    ----------
    scada : rows in time order with columns "instance", ``L_<tank>``, ``S_<link>``, ``F_<link>``.
    plant : the plant's own set-points and network file.

    Returns
    -------
    Frame of shape (n, 12), a column per link of ``scada.LINKS``, m, >= 0; 1 m where a link runs
    that has no rule (stand-by pumps that no PLC starts). The first row of a stretch has none.
    """
    network = network_of(plant)
    found = pd.DataFrame(0.0, index=scada.index, columns=list(LINKS))
    for rows in _stretches(scada):
        part = scada.iloc[rows]
        for link in LINKS:
            on = _column(part, f"S_{link}") > 0.5
            rule = plant.setpoints.get(link)
            values = (
                np.where(on, _NEVER_ON, 0.0)
                if rule is None
                else _held_contradiction(on, _Level.of(part, rule, network), rule)
            )
            found.iloc[rows, LINKS.index(link)] = values
    return found


def pump_residual(scada: pd.DataFrame, plant: PlantModel) -> pd.DataFrame:
    """Return what each pump station's head gain misses its pumps' curves by.

    r = H_out - H_in - H(Q) at full speed, H = pressure + elevation, of the running pump that
    misses most; 0 while none runs.

    Parameters
    ----------
    scada : columns ``S_<pump>``, ``F_<pump>`` and the station's two pressures.
    plant : the plant's own pump curves and network file.

    Returns
    -------
    Frame of shape (n, 5), a column per tank that a station fills, m.
    """
    elevation = network_of(plant).elevation
    found = {}
    for tank in STATIONS:
        inlet, outlet = STATION_PRESSURES[tank]
        gain = _column(scada, f"P_{outlet}") - _column(scada, f"P_{inlet}")
        gain += elevation[outlet] - elevation[inlet]
        pumps = [link for link in TANK_LINKS[tank] if link in PUMPS]
        found[tank] = _largest([_missed(scada, pump, gain, plant) for pump in pumps])
    return pd.DataFrame(found, index=scada.index)


@dataclass(frozen=True, slots=True, eq=False)
class DemandSums:
    """Sums over hours of a plant's demand, per DMA and hour of the week; they can be added up.

    Parameters
    ----------
    count : hours seen, shape (5, 168).
    total : sum of their demands in L/s, shape (5, 168).
    """

    count: Floats
    total: Floats

    @classmethod
    def none(cls) -> DemandSums:
        """Sums over no hour."""
        return cls(np.zeros((len(DMAS), SLOTS)), np.zeros((len(DMAS), SLOTS)))

    def __add__(self, other: DemandSums) -> DemandSums:
        return DemandSums(self.count + other.count, self.total + other.total)

    def mean(self) -> Floats:
        """Mean demand in L/s, shape (5, 168); an hour never seen takes the DMA's mean.

        Raises DataError when a DMA was never seen.
        """
        seen = self.count.sum(axis=1)
        if (seen == 0).any():
            raise DataError(
                "no hour with levels and flows to take the demand of every district from; give "
                "normal operation of at least a few days"
            )
        overall = self.total.sum(axis=1) / seen
        means = np.repeat(overall[:, None], SLOTS, axis=1)
        np.divide(self.total, self.count, out=means, where=self.count > 0)
        return means


def demand_sums(scada: pd.DataFrame, plant: PlantModel) -> DemandSums:
    """Sum a plant's demands by hour of the week, over the rows that are not labelled abnormal.

    Demand of the hour up to a row, per DMA: inflow - outflow - area * change of level.
    """
    boundaries, slot = _boundaries(plant), _slots(scada)
    normal = scada[LABEL].to_numpy() < 1
    sums = DemandSums.none()
    for row, name in enumerate(DMAS):
        demand = _demand(scada, boundaries[name])
        kept = normal & np.isfinite(demand)
        sums.count[row] = np.bincount(slot[kept], minlength=SLOTS)
        sums.total[row] = np.bincount(slot[kept], demand[kept], minlength=SLOTS)
    return sums


def balance_residual(scada: pd.DataFrame, plant: PlantModel, expected: Floats) -> pd.DataFrame:
    """Return each DMA's mass-balance residual, mean of the last 4 hours, in standard deviations.

    z = (demand by balance - expected demand) / sd,
    sd^2 = (noise_sd * expected)^2 + sum over links that switched of (change of flow)^2 / 12

    The second term: within an hour the moment of a switch is unknown, uniform on the hour. An
    expected demand counts as at least a quarter of its district's mean.

    Parameters
    ----------
    scada : rows in time order with "instance", "time", levels, flows and statuses.
    plant : tank areas (network file) and demand noise.
    expected : mean demand in L/s per DMA and hour of the week, shape (5, 168).

    Returns
    -------
    Frame of shape (n, 5), a column per DMA; 0 where a stretch begins or a reading is missing.
    """
    boundaries, slot = _boundaries(plant), _slots(scada)
    if expected.shape != (len(DMAS), SLOTS):
        raise TwinError(
            f"expected demand has shape {expected.shape}; expected {(len(DMAS), SLOTS)}, "
            "districts by hours of the week"
        )
    found: dict[str, Floats] = {}
    for row, name in enumerate(DMAS):
        boundary = boundaries[name]
        usual = np.maximum(expected[row], _LEAST_DEMAND * expected[row].mean())[slot]
        noise = plant.demands[name].noise_sd * usual
        sd = np.sqrt(noise**2 + _switching_variance(scada, boundary) + 1e-6)
        found[name] = np.nan_to_num((_demand(scada, boundary) - usual) / sd)
    hourly = pd.DataFrame(found, index=scada.index)
    for rows in _stretches(scada):
        hourly.iloc[rows] = hourly.iloc[rows].rolling(BALANCE_HOURS, min_periods=1).mean()
    return hourly


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """A tank's level between the reading before and this one, m. shape of each: (n,)"""

    lower_reading: Floats
    higher_reading: Floats
    lowest: Floats
    highest: Floats

    @classmethod
    def of(cls, part: pd.DataFrame, rule: SetPoint, network: Network) -> _Level:
        level = _column(part, f"L_{rule.tank}")
        before = np.concatenate([level[:1], level[:-1]])
        low, high = np.minimum(before, level), np.maximum(before, level)
        flow = np.add.reduce([_column(part, f"F_{link}") for link in TANK_LINKS[rule.tank]])
        running = np.maximum(flow, np.concatenate([flow[:1], flow[:-1]]))
        speed = _M_PER_LPS / network.tanks[rule.tank].area_m2 * np.maximum(running, 1e-6)
        change = np.minimum(high - low, speed)
        reach = (speed**2 + change**2) / (4 * speed)
        middle = (low + high) / 2
        return cls(low, high, np.minimum(middle - reach, low), np.maximum(middle + reach, high))


def _held_contradiction(on: Bools, level: _Level, rule: SetPoint) -> Floats:
    same = np.concatenate([[True], on[1:] == on[:-1]])
    # A status that did not change is judged by readings, a change by what lay between them.
    low = np.where(same, level.lower_reading, level.lowest)
    high = np.where(same, level.higher_reading, level.highest)
    beyond = np.where(
        on,
        np.where(same, high - rule.off_above, low - rule.on_below),
        np.where(same, rule.on_below - low, rule.off_above - high),
    )
    beyond = np.nan_to_num(np.maximum(beyond, 0.0))
    justified = np.where(on, low <= rule.on_below, high >= rule.off_above) & (beyond == 0.0)
    held = pd.Series(beyond).groupby(np.cumsum(~same | justified)).cummax()
    return np.asarray(held, dtype=np.float64)


def _missed(scada: pd.DataFrame, pump: str, gain: Floats, plant: PlantModel) -> Floats:
    running = _column(scada, f"S_{pump}") > 0.5
    off = gain - _head(plant.pump_curves[pump], _column(scada, f"F_{pump}"))
    missed: Floats = np.nan_to_num(np.where(running, off, 0.0))
    return missed


def _head(curve: tuple[tuple[float, float], ...], flow: Floats) -> Floats:
    """Head in m at a flow in L/s: EPANET's H = h0 - r Q^n through three points, else linear."""
    flows, heads = (np.array(axis, dtype=np.float64) for axis in zip(*curve, strict=True))
    if len(curve) != 3 or flows[0] != 0.0:
        return np.interp(flow, flows, heads)
    drop = heads[0] - heads[1:]
    power = np.log(drop[1] / drop[0]) / np.log(flows[2] / flows[1])
    head: Floats = heads[0] - drop[0] * (np.maximum(flow, 0.0) / flows[1]) ** power
    return head


def _largest(residuals: list[Floats]) -> Floats:
    stacked = np.stack(residuals)  # shape: (pumps, n)
    largest: Floats = stacked[np.abs(stacked).argmax(axis=0), np.arange(stacked.shape[1])]
    return largest


def _boundaries(plant: PlantModel) -> Mapping[str, DmaBoundary]:
    return dma_boundaries(network_of(plant))


def _demand(scada: pd.DataFrame, boundary: DmaBoundary) -> Floats:
    """Mean demand in L/s of the hour that ends at each row; NaN in the first of a stretch."""
    net = _net_inflow(scada, boundary)
    volume = np.add.reduce(
        [area * _column(scada, f"L_{tank}") for tank, area in boundary.areas.items()]
    )
    demand = np.full(len(scada), np.nan)
    demand[1:] = (net[:-1] + net[1:]) / 2 - np.diff(volume) / _M_PER_LPS
    for rows in _stretches(scada):
        demand[rows.start] = np.nan
    return demand


def _net_inflow(scada: pd.DataFrame, boundary: DmaBoundary) -> Floats:
    inflow = np.add.reduce([_column(scada, f"F_{link}") for link in boundary.inflow])
    if not boundary.outflow:
        return np.asarray(inflow)
    return np.asarray(inflow - np.add.reduce([_column(scada, f"F_{x}") for x in boundary.outflow]))


def _switching_variance(scada: pd.DataFrame, boundary: DmaBoundary) -> Floats:
    variance: Floats = np.zeros(len(scada))
    for link in boundary.links:
        on = _column(scada, f"S_{link}") > 0.5
        jump = np.diff(_column(scada, f"F_{link}"))
        variance[1:] += np.where(on[1:] != on[:-1], jump**2 / 12.0, 0.0)
    return np.nan_to_num(variance)


def _slots(scada: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Hour of the week in which the hour that ends at each row began."""
    began = pd.DatetimeIndex(scada[TIME]) - pd.Timedelta(hours=1)
    return np.asarray(began.day_of_week * 24 + began.hour, dtype=np.int64)


def _stretches(scada: pd.DataFrame) -> Iterator[slice]:
    """Yield the rows of each stretch recorded without interruption."""
    names = scada[INSTANCE].to_numpy(dtype=object)
    gap = np.diff(scada[TIME].to_numpy(dtype="datetime64[s]")) != np.timedelta64(3600, "s")
    starts = np.flatnonzero(np.concatenate([[True], (names[1:] != names[:-1]) | gap]))
    for first, last in zip(starts, [*starts[1:], len(scada)], strict=True):
        yield slice(int(first), int(last))


def _column(scada: pd.DataFrame, name: str) -> Floats:
    return scada[name].to_numpy(dtype=np.float64)
