"""Physical evidence of a site, from its own twin: the laws that its readings must obey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import PHYSICAL, PhysicalEvidence, evidence_kinds
from dtfl_app.inputs.twin_data import is_ctown, own_plant
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset
from twin.ctown.laws import law_channels
from twin.ctown.plant import PlantModel
from twin.ctown.residuals import (
    DemandSums,
    balance_residual,
    demand_sums,
    plc_contradiction,
    pump_residual,
)
from twin.schema import INSTANCE, LABEL, TIME

__all__ = ["SitePhysics", "open_physics"]

FloatArray = NDArray[np.float64]


# Apart from the data sets' base class, which knows nothing of a twin's plants.
@runtime_checkable
class _ManyPlants(Protocol):
    """A data set that knows a plant for each instance."""

    def plant_named(self, name: str) -> PlantModel: ...


@dataclass(frozen=True, slots=True)
class SitePhysics:
    """Computes physical evidence from hourly C-Town readings.

    Parameters
    ----------
    kinds : the physical kinds of evidence that are wanted.
    plant_of : site -> the model of its plant.
    site_of : instance -> the site where it was recorded.
    """

    kinds: tuple[str, ...]
    plant_of: Callable[[str], PlantModel]
    site_of: Callable[[str], str]

    @property
    def needs_demand(self) -> bool:
        """Whether the federation must agree on expected demands first."""
        return "balance" in self.kinds

    def demand_sums(self, features: Features) -> DemandSums:
        """Sum the demands of normal hours; what leaves a site for the federation's expectation."""
        parts = [demand_sums(rows, plant) for rows, plant in self._plants(features)]
        return sum(parts, DemandSums.none())

    def evidence(
        self, features: Features, expected: FloatArray | None
    ) -> dict[str, PhysicalEvidence]:
        """Return the evidence per wanted kind.

        `expected` is the mean demand in L/s, shape (5, 168), for the kind "balance".
        """
        parts = [self._of_plant(rows, plant, expected) for rows, plant in self._plants(features)]
        found = {}
        for kind in self.kinds:
            channels = law_channels(kind)
            rows = [part[kind] for part in parts] or [np.zeros((0, len(channels)))]
            found[kind] = PhysicalEvidence(np.concatenate(rows), channels)
        return found

    def _plants(self, features: Features) -> list[tuple[pd.DataFrame, PlantModel]]:
        """The readings plant by plant, in the features' order."""
        series = pd.DataFrame(features.values.astype(np.float64), columns=list(features.names))
        series[INSTANCE], series[TIME] = features.instance, features.time
        series[LABEL] = features.label
        plants = np.array([self.site_of(str(name)) for name in features.instance], dtype=str)
        changes = np.flatnonzero(plants[1:] != plants[:-1]) + 1
        return [
            (series.iloc[rows].reset_index(drop=True), self.plant_of(str(plants[rows[0]])))
            for rows in np.split(np.arange(len(plants)), changes)
            if len(rows)
        ]

    def _of_plant(
        self, scada: pd.DataFrame, plant: PlantModel, expected: FloatArray | None
    ) -> dict[str, FloatArray]:
        found: dict[str, FloatArray] = {}
        if "plc" in self.kinds:
            found["plc"] = plc_contradiction(scada, plant).to_numpy()
        if "pump" in self.kinds:
            found["pump"] = np.abs(pump_residual(scada, plant).to_numpy())
        if "balance" in self.kinds:
            assert expected is not None
            found["balance"] = np.abs(balance_residual(scada, plant, expected).to_numpy())
        return found


def open_physics(config: RunConfig, dataset: FederatedDataset) -> SitePhysics | None:
    """Return the site's physics if the setting `evidence` asks for it, else None.

    Raises ConfigError where the data is not that of a C-Town plant, or not hour by hour.
    """
    kinds = tuple(k for k in evidence_kinds(config.detector.evidence) if k in PHYSICAL)
    if not kinds:
        return None
    spec = dataset.feature_spec
    hourly = spec.statistics == ("last",) and spec.window_s == spec.step_s == 3600
    if not is_ctown(dataset) or not hourly:
        raise ConfigError(
            f"run config: evidence = {config.detector.evidence!r} needs hourly readings of a "
            f"C-Town plant, and dataset = {config.data.dataset!r} gives windows of "
            f'{spec.window_s:g} s with {spec.statistics}; use evidence = "instant,smoothed"'
        )
    if isinstance(dataset, _ManyPlants):
        return SitePhysics(kinds, dataset.plant_named, dataset.site_of)
    plant = own_plant(config, dataset.own_twin)
    return SitePhysics(kinds, lambda _: plant, dataset.site_of)
