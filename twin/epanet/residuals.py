"""Physical residuals of a plant, from SCADA readings alone: where they break a law.

Three laws hold in normal operation whatever the demand: PLCs obey their set-points, a pump lifts
water along its head curve, and a zone gains as much water as flows in less what is drawn. Each
residual is what a reading misses its law by. None is learned, so none has to be trained; a
threshold for them is calibrated like that of any other score.

The plant's owner knows what is needed: set-points, pump curves and tank areas (`Laws`) and, for the
balance, the demand to expect by hour of the week (`demand_sums`). The laws themselves, row by row,
are in `laws`; here they meet whole recordings, in `hourly` one hour after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from twin.epanet.laws import BALANCE_HOURS, SLOTS, Laws, Readings, slot_before
from twin.errors import DataError, TwinError
from twin.schema import INSTANCE, LABEL, TIME

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DemandSums", "balance_residual", "demand_sums", "plc_contradiction", "pump_residual"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: What the names of channels begin with: level, flow, status, pressure.
_CHANNELS = ("L_", "F_", "S_", "P_")


def plc_contradiction(scada: pd.DataFrame, laws: Laws) -> Floats:
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
    laws : the plant's own set-points and tank areas.

    Returns
    -------
    Array of shape (n, links), a column per link of the laws, m, >= 0; 1 m where a link runs
    that has no rule (stand-by pumps that no PLC starts). The first row of a stretch has none.
    """
    readings = _readings(scada)
    found = np.zeros((len(scada), len(laws.links)))
    for rows in _stretches(scada):
        now = {name: values[rows] for name, values in readings.items()}
        before = _before(now)
        for column, link in enumerate(laws.links):
            found[rows, column] = _held(*laws.contradiction(link, now, before))
    return found


def pump_residual(scada: pd.DataFrame, laws: Laws) -> Floats:
    """Return what each pump station's head gain misses its pumps' curves by.

    r = H_out - H_in - H(Q) at full speed, H = pressure + elevation, of the running pump that
    misses most; 0 while none runs.

    Parameters
    ----------
    scada : columns ``S_<pump>``, ``F_<pump>`` and the station's two sensors.
    laws : the plant's own pump curves and elevations.

    Returns
    -------
    Array of shape (n, stations), m.
    """
    now = _readings(scada)
    return np.stack([laws.missed_head(name, now) for name in laws.stations], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class DemandSums:
    """Sums over hours of a plant's demand, per zone and hour of the week; they can be added up.

    Parameters
    ----------
    count : hours seen, shape (zones, 168).
    total : sum of their demands in L/s, shape (zones, 168).
    """

    count: Floats
    total: Floats

    @classmethod
    def over(cls, zones: int) -> Self:
        """Sums over no hour yet of so many zones."""
        return cls(np.zeros((zones, SLOTS)), np.zeros((zones, SLOTS)))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.count + other.count, self.total + other.total)

    def mean(self) -> Floats:
        """Mean demand in L/s, shape (zones, 168); an hour never seen takes the zone's mean.

        Raises DataError when a zone was never seen.
        """
        seen = self.count.sum(axis=1)
        if (seen == 0).any():
            raise DataError(
                "no hour with levels and flows to take the demand of every zone from; give "
                "normal operation of at least a few days"
            )
        overall = self.total.sum(axis=1) / seen
        means = np.repeat(overall[:, None], SLOTS, axis=1)
        np.divide(self.total, self.count, out=means, where=self.count > 0)
        return means


def demand_sums(scada: pd.DataFrame, laws: Laws) -> DemandSums:
    """Sum a plant's demands by hour of the week, over the rows that are not labelled abnormal.

    Demand of the hour up to a row, per zone: inflow - outflow - area * change of level.
    """
    now, slot = _readings(scada), _slots(scada)
    before, begun = _before(now), _begins(scada)
    normal = (scada[LABEL].to_numpy() < 1) & ~begun
    sums = DemandSums.over(len(laws.boundaries))
    for row, name in enumerate(laws.boundaries):
        demand = laws.demand(name, now, before)
        kept = normal & np.isfinite(demand)
        sums.count[row] = np.bincount(slot[kept], minlength=SLOTS)
        sums.total[row] = np.bincount(slot[kept], demand[kept], minlength=SLOTS)
    return sums


def balance_residual(scada: pd.DataFrame, laws: Laws, expected: Floats) -> Floats:
    """Return each zone's mass-balance residual, mean of the last 4 hours, in standard deviations.

    z = (demand by balance - expected demand) / sd,
    sd^2 = (noise_sd * expected)^2 + sum over links that switched of (change of flow)^2 / 12

    The second term: within an hour the moment of a switch is unknown, uniform on the hour. An
    expected demand counts as at least a quarter of its zone's mean.

    Parameters
    ----------
    scada : rows in time order with "instance", "time", levels, flows and statuses.
    laws : tank areas and demand noise.
    expected : mean demand in L/s per zone and hour of the week, shape (zones, 168).

    Returns
    -------
    Array of shape (n, zones), a column per zone; 0 where a stretch begins or a reading is missing.
    """
    # A gateway that scores hour by hour has all else that is here without pandas' 60 MB.
    import pandas as pd  # noqa: PLC0415 - see above

    shape = (len(laws.boundaries), SLOTS)
    if expected.shape != shape:
        raise TwinError(
            f"expected demand has shape {expected.shape}; expected {shape}, zones by hours of the "
            "week"
        )
    now, slot = _readings(scada), _slots(scada)
    before, begun = _before(now), _begins(scada)
    found: dict[str, Floats] = {}
    for row, name in enumerate(laws.boundaries):
        missed = laws.imbalance(name, now, before, expected[row], slot)
        # No hour lies before the first row of a stretch.
        found[name] = np.nan_to_num(np.where(begun, 0.0, missed))
    hourly = pd.DataFrame(found)
    for rows in _stretches(scada):
        hourly.iloc[rows] = hourly.iloc[rows].rolling(BALANCE_HOURS, min_periods=1).mean()
    return hourly.to_numpy()


def _held(beyond: Floats, ends: Bools) -> Floats:
    """Hold each contradiction until the next row that ends it; shapes (n,) of one stretch."""
    parts = np.split(beyond, np.flatnonzero(ends))
    return np.concatenate([np.maximum.accumulate(part) for part in parts])


def _readings(scada: pd.DataFrame) -> Readings:
    names = [name for name in scada.columns if name[:2] in _CHANNELS]
    return {name: scada[name].to_numpy(dtype=np.float64) for name in names}


def _before(now: Readings) -> Readings:
    """The readings one row earlier; the first row's are its own."""
    return {name: np.concatenate([values[:1], values[:-1]]) for name, values in now.items()}


def _slots(scada: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Hour of the week in which the hour that ends at each row began."""
    return slot_before(scada[TIME].to_numpy("datetime64[ns]").astype(np.int64))


def _stretches(scada: pd.DataFrame) -> Iterator[slice]:
    """Yield the rows of each stretch recorded without interruption."""
    names = scada[INSTANCE].to_numpy(dtype=object)
    gap = np.diff(scada[TIME].to_numpy(dtype="datetime64[s]")) != np.timedelta64(3600, "s")
    starts = np.flatnonzero(np.concatenate([[True], (names[1:] != names[:-1]) | gap]))
    for first, last in zip(starts, [*starts[1:], len(scada)], strict=True):
        yield slice(int(first), int(last))


def _begins(scada: pd.DataFrame) -> Bools:
    """Tell which rows are the first of a stretch."""
    begins = np.zeros(len(scada), dtype=bool)
    begins[[rows.start for rows in _stretches(scada)]] = True
    return begins
