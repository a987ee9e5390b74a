"""Physical residuals of the C-Town plant, see ``twin.epanet.residuals``.

Columns: the 12 links of ``scada.LINKS``, the 5 tanks that a station fills, the 5 districts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from twin.ctown.laws import BALANCE_HOURS, DMAS, SLOTS, STATIONS, PlantLaws
from twin.ctown.plant import PlantModel
from twin.epanet import residuals

if TYPE_CHECKING:
    import pandas as pd

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


class DemandSums(residuals.DemandSums):
    """Sums over hours of a plant's demand, per DMA and hour of the week; shapes (5, 168)."""

    @classmethod
    def none(cls) -> DemandSums:
        """Sums over no hour."""
        return cls.over(len(DMAS))


def plc_contradiction(scada: pd.DataFrame, plant: PlantModel) -> Floats:
    """Return by how many metres each link's status contradicts its set-points. shape: (n, 12)"""
    return residuals.plc_contradiction(scada, PlantLaws.of(plant))


def pump_residual(scada: pd.DataFrame, plant: PlantModel) -> Floats:
    """Return what each station's head gain misses its pumps' curves by, m. shape: (n, 5)"""
    return residuals.pump_residual(scada, PlantLaws.of(plant))


def demand_sums(scada: pd.DataFrame, plant: PlantModel) -> DemandSums:
    """Sum a plant's demands by hour of the week, over the rows that are not labelled abnormal."""
    sums = residuals.demand_sums(scada, PlantLaws.of(plant))
    return DemandSums(sums.count, sums.total)


def balance_residual(scada: pd.DataFrame, plant: PlantModel, expected: Floats) -> Floats:
    """Return each DMA's mass-balance residual in standard deviations. shape: (n, 5)

    `expected` is the mean demand in L/s per DMA and hour of the week, shape (5, 168).
    """
    return residuals.balance_residual(scada, PlantLaws.of(plant), expected)
