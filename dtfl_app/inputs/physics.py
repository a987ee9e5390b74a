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
from dtfl_app.core.evidence import (
    MODEL_KINDS,
    LawEvidence,
    evidence_kinds,
    kind_names,
    laws_among,
)
from dtfl_app.inputs.twins import is_ctown, own_plant
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset
from twin.ctown.laws import DMAS, PlantLaws
from twin.ctown.plant import PlantModel
from twin.ctown.residuals import DemandSums, demand_sums
from twin.schema import INSTANCE, LABEL, TIME, Schema

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
    kinds : the laws that are wanted as evidence.
    plant_of : site -> the model of its plant.
    site_of : instance -> the site where it was recorded.
    """

    kinds: tuple[LawEvidence, ...]
    plant_of: Callable[[str], PlantModel]
    site_of: Callable[[str], str]

    @property
    def needs_demand(self) -> bool:
        """Whether the federation must agree on expected demands first."""
        return any(kind.needs_demand for kind in self.kinds)

    def demand_sums(self, features: Features) -> DemandSums:
        """Sum the demands of normal hours; what leaves a site for the federation's expectation."""
        parts = [demand_sums(rows, plant) for rows, plant in self._plants(features)]
        return sum(parts, DemandSums.none())

    def demand_range(self, site: str, schema: Schema) -> FloatArray:
        """Return the least and the greatest demand per district that a site's readings can have.

        L/s, shape (2, 5). Raises DataError where no plant is called so.
        """
        laws = PlantLaws.of(self.plant_of(site))
        ranges = {channel.name: (channel.low, channel.high) for channel in schema.channels}
        return np.array([laws.demand_range(name, ranges) for name in DMAS]).T

    def evidence(self, features: Features, expected: FloatArray | None) -> dict[str, FloatArray]:
        """Return what each law finds, its name -> shape (n, c), >= 0.

        `expected` is the mean demand in L/s, shape (5, 168); None where no law needs it.
        """
        plants = self._plants(features)
        found = {}
        for kind in self.kinds:
            parts = [kind.on_recording(rows, plant, expected) for rows, plant in plants]
            found[kind.name] = np.concatenate([np.zeros((0, len(kind.channels))), *parts])
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


def open_physics(config: RunConfig, dataset: FederatedDataset) -> SitePhysics | None:
    """Return the site's physics if the setting `evidence` asks for it, else None.

    Raises ConfigError where the data is not that of a C-Town plant, not hour by hour, or
    standardised by recording.
    """
    kinds = laws_among(evidence_kinds(config.detector.evidence))
    if not kinds:
        return None
    spec = dataset.feature_spec
    hourly = spec.statistics == ("last",) and spec.window_s == spec.step_s == 3600
    if not is_ctown(dataset) or not hourly:
        raise ConfigError(
            f"run config: detector.evidence = {config.detector.evidence!r} needs hourly readings "
            f"of a C-Town plant, and dataset = {config.run.dataset!r} gives windows of "
            f"{spec.window_s:g} s with {spec.statistics}; use one or more of "
            f"{kind_names(MODEL_KINDS)}"
        )
    if spec.baseline:
        raise ConfigError(
            f"run config: detector.evidence = {config.detector.evidence!r} needs readings in their "
            "units, and data.scaling = 'recording' counts them from each recording's beginning; "
            f"use one or more of {kind_names(MODEL_KINDS)}, or another data.scaling"
        )
    if isinstance(dataset, _ManyPlants):
        return SitePhysics(kinds, dataset.plant_named, dataset.site_of)
    plant = own_plant(config, dataset.own_twin)
    return SitePhysics(kinds, lambda _: plant, dataset.site_of)
