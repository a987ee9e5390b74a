"""A plant's laws row by row: what a reading and the one before it say together.

`residuals` applies them to whole recordings, a gateway to each row as it comes; both get the same
numbers. A set of readings is a mapping from channel to an array of shape (n,), one entry per row,
NaN where missing; `before` has for each row the readings of the row before it, or the row's own
where a stretch begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from twin.epanet.plc import SetPoint
from twin.epanet.zones import Boundary

__all__ = ["BALANCE_HOURS", "SLOTS", "Laws", "Readings", "Station", "slot_before"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Readings = Mapping[str, Floats]

#: Hours of the week, from Monday 0:00.
SLOTS = 168
#: The balance of one hour carries 10% demand noise; over four the noise averages out, an attack
#: does not. Longer means would find attacks later.
BALANCE_HOURS = 4

# Part of a zone's mean demand below which no hour's expected demand is taken to be known.
_LEAST_DEMAND = 0.25
# m; a link without a rule never runs, and when it does no level says by how much that is wrong.
_NEVER_ON = 1.0
_L_PER_M3, _S_PER_H = 1000.0, 3600.0
_M_PER_LPS = _S_PER_H / _L_PER_M3  # m of level per hour, per L/s and m2

_HOUR_NS = 3_600_000_000_000
# 1970-01-01 was a Thursday.
_EPOCH_SLOT = 3 * 24


def slot_before(time: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the hour of the week in which the hour before each time (ns since 1970) began."""
    return (time // _HOUR_NS - 1 + _EPOCH_SLOT) % SLOTS


class Station(NamedTuple):
    """Pumps between the same two sensors: tanks, reservoirs or junctions with a pressure sensor."""

    inlet: str
    outlet: str
    pumps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Laws:
    """What the laws need of one plant; its owner knows it, and no network file is needed.

    Parameters
    ----------
    rules : link -> PLC rule.
    areas : tank -> cross-section in m2.
    elevations : sensor at a station -> elevation in m; of a reservoir, its head.
    curves : pump -> points (flow in L/s, head gain in m), flow ascending.
    noise : zone -> standard deviation of its demand's hourly noise, relative.
    boundaries : zone -> where water enters, leaves and is stored.
    fills : tank -> links that fill it.
    stations : name -> station.
    links : links that PLCs switch or leave off; those without a rule never run.
    """

    rules: Mapping[str, SetPoint]
    areas: Mapping[str, float]
    elevations: Mapping[str, float]
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    noise: Mapping[str, float]
    boundaries: Mapping[str, Boundary]
    fills: Mapping[str, tuple[str, ...]]
    stations: Mapping[str, Station]
    links: tuple[str, ...]

    def contradiction(self, link: str, now: Readings, before: Readings) -> tuple[Floats, Bools]:
        """Return by how much a link's status contradicts its set-points now, and what it ends.

        The contradiction held at a row is its own where the second array is true, else the larger
        of its own and the one held at the row before; see `residuals.plc_contradiction`.

        Returns
        -------
        Two arrays of shape (n,): m, >= 0, and whether what was held before ends here.
        """
        on, was_on = now[f"S_{link}"] > 0.5, before[f"S_{link}"] > 0.5
        rule = self.rules.get(link)
        if rule is None:
            return np.where(on, _NEVER_ON, 0.0), np.ones(len(on), dtype=bool)
        same = on == was_on
        low, high = self._levels(rule, same, now, before)
        beyond = np.where(
            on,
            np.where(same, high - rule.off_above, low - rule.on_below),
            np.where(same, rule.on_below - low, rule.off_above - high),
        )
        beyond = _known(np.maximum(beyond, 0.0))
        justified = np.where(on, low <= rule.on_below, high >= rule.off_above) & (beyond == 0.0)
        return beyond, ~same | justified

    def missed_head(self, name: str, now: Readings) -> Floats:
        """Return what a station misses its running pumps' curves by, in m, shape (n,)."""
        inlet, outlet, pumps = self.stations[name]
        gain = self._above(outlet, now) - self._above(inlet, now)
        gain = gain + (self.elevations[outlet] - self.elevations[inlet])
        return _largest([self._missed(pump, gain, now) for pump in pumps])

    def _above(self, node: str, now: Readings) -> Floats:
        """Head above a node's elevation, m; none above that of a reservoir."""
        pressure = now.get(f"P_{node}")
        return now.get(f"L_{node}", np.zeros(1)) if pressure is None else pressure

    def demand(self, name: str, now: Readings, before: Readings) -> Floats:
        """Return a zone's mean demand of the hour that ends at each row by its balance, L/s."""
        boundary = self.boundaries[name]
        net = (_net_inflow(boundary, before) + _net_inflow(boundary, now)) / 2
        change = _volume(boundary, now) - _volume(boundary, before)
        return np.asarray(net - change / _M_PER_LPS)

    def demand_range(
        self, name: str, ranges: Mapping[str, tuple[float, float]]
    ) -> tuple[float, float]:
        """Return the least and the greatest demand of a zone that its readings can amount to, L/s.

        Parameters
        ----------
        ranges : channel -> least and greatest reading.
        """
        boundary = self.boundaries[name]
        low, high = (
            {channel: np.array([ends[i]]) for channel, ends in ranges.items()} for i in (0, 1)
        )
        out = {f"F_{link}" for link in boundary.outflow}
        most = _net_inflow(boundary, high | {flow: low[flow] for flow in out})
        least = _net_inflow(boundary, low | {flow: high[flow] for flow in out})
        stored = (_volume(boundary, high) - _volume(boundary, low)) / _M_PER_LPS
        return float((least - stored)[0]), float((most + stored)[0])

    def imbalance(
        self, name: str, now: Readings, before: Readings, expected: Floats, slot: npt.NDArray[Any]
    ) -> Floats:
        """Return what a zone's demand misses the expected one by, in standard deviations.

        See `residuals.balance_residual`; NaN where a reading is missing.

        Parameters
        ----------
        expected : the zone's mean demand in L/s by hour of the week, shape (168,).
        slot : hour of the week in which each row's hour began, shape (n,).
        """
        usual = np.maximum(expected, _LEAST_DEMAND * expected.mean())[slot]
        variance = _switching_variance(self.boundaries[name], now, before)
        sd = np.sqrt((self.noise[name] * usual) ** 2 + variance + 1e-6)
        return np.asarray((self.demand(name, now, before) - usual) / sd)

    def _levels(
        self, rule: SetPoint, same: Bools, now: Readings, before: Readings
    ) -> tuple[Floats, Floats]:
        """Lowest and highest level to judge a row by, m.

        A status that did not change is judged by readings, a change by what lay between them.
        """
        level, earlier = now[f"L_{rule.tank}"], before[f"L_{rule.tank}"]
        low, high = np.minimum(earlier, level), np.maximum(earlier, level)
        running = np.maximum(self._fill(rule.tank, now), self._fill(rule.tank, before))
        speed = _M_PER_LPS / self.areas[rule.tank] * np.maximum(running, 1e-6)
        change = np.minimum(high - low, speed)
        reach = (speed**2 + change**2) / (4 * speed)
        middle = (low + high) / 2
        lowest, highest = np.minimum(middle - reach, low), np.maximum(middle + reach, high)
        return np.where(same, low, lowest), np.where(same, high, highest)

    def _fill(self, tank: str, readings: Readings) -> Floats:
        """Flow in L/s of all links that fill a tank."""
        return np.asarray(np.add.reduce([readings[f"F_{link}"] for link in self.fills[tank]]))

    def _missed(self, pump: str, gain: Floats, now: Readings) -> Floats:
        running = now[f"S_{pump}"] > 0.5
        off = gain - _head(self.curves[pump], now[f"F_{pump}"])
        return _known(np.where(running, off, 0.0))


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


def _volume(boundary: Boundary, readings: Readings) -> Floats:
    """Water stored in a zone, m3."""
    return np.asarray(
        np.add.reduce([area * readings[f"L_{tank}"] for tank, area in boundary.areas.items()])
    )


def _net_inflow(boundary: Boundary, readings: Readings) -> Floats:
    inflow = np.add.reduce([readings[f"F_{link}"] for link in boundary.inflow])
    if not boundary.outflow:
        return np.asarray(inflow)
    outflow = np.add.reduce([readings[f"F_{link}"] for link in boundary.outflow])
    return np.asarray(inflow - outflow)


def _switching_variance(boundary: Boundary, now: Readings, before: Readings) -> Floats:
    variance: Floats = np.zeros(len(now[f"F_{boundary.links[0]}"]))
    for link in boundary.links:
        switched = (now[f"S_{link}"] > 0.5) != (before[f"S_{link}"] > 0.5)
        jump = now[f"F_{link}"] - before[f"F_{link}"]
        variance += np.where(switched, jump**2 / 12.0, 0.0)
    return _known(variance)


def _known(values: Floats) -> Floats:
    """Values with 0 for those that a missing reading left unknown; quicker than nan_to_num."""
    return np.where(np.isnan(values), 0.0, values)
