"""The embedded default: K simulated C-Town plants, each different from the nominal twin.

Every site is a plant of its own: other demands, worn pumps, older pipes, other set-points and
noisier sensors than the twin assumes. How much is one setting, `gap`, and `describe` measures it.
No plant takes part in another plant's data; the evaluation is each plant's later operation with
attacks that no site has seen.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.batadal import read_batadal
from dtfl_app.sites.batadal_sites import HOURLY
from dtfl_app.sites.features import Features, FeatureSpec, concat, make_features
from dtfl_app.sites.federation import (
    FederatedDataset,
    SiteData,
    build_site,
    chosen_features,
    refuse_partition,
)
from dtfl_app.sites.folders import cache_dir
from dtfl_app.sites.known_schemas import KNOWN_SCHEMAS
from dtfl_app.sites.quality import assess
from dtfl_app.sites.site_schema import SiteSchema
from twin.base import Scenario
from twin.ctown.channels import SCADA
from twin.ctown.defaults import default_plant
from twin.ctown.plant import DmaDemand, PlantModel, SetPoint
from twin.ctown.simulate import CTownTwin
from twin.dataset import build_dataset, dataset_digest
from twin.schema import EVENT, INSTANCE, Schema

__all__ = ["PlantsDataset", "vary_plant"]

# Three weeks with one attack each: long enough for replayed weeks, short enough to simulate.
_EVALUATION_HOURS = 504
_MOST_PLANTS = 100
_LEAVE_ONE_OUT = "leave-one-site-out"
_PROTOCOLS = ("unseen-events", "unseen-families", _LEAVE_ONE_OUT)

# Spread at gap = 1, as standard deviations: what operators report of models that were sound once.
_DEMAND_SPREAD = 0.10
_PATTERN_SPREAD = 0.08
_ROUGHNESS_SPREAD = 0.06
_SETPOINT_SPREAD_M = 0.10
# Pumps only get worse: up to this share of their head at gap = 1.
_PUMP_WEAR = 0.06
_SENSOR_NOISE = {"level": 0.01, "flow": 0.3, "pressure": 0.2}


@dataclass(frozen=True, slots=True)
class PlantsDataset(FederatedDataset):
    """K simulated plants as sites.

    Parameters
    ----------
    cache : folder for simulated data.
    days : days of normal operation that each site holds, >= 7.
    gap : how far the plants differ from the twin, >= 0; 0 = copies of it with other demands noise.
    seed : of the plants and everything that happens in them.
    calibration_share : share of each site's hours kept for calibration, in [0, 1).
    workers : processes that simulate; 0 = one per core.
    protocol : "unseen-events" and "unseen-families": K plants are the sites, judged on later weeks
        of each. "leave-one-site-out": of K + 1 plants all but `held_out` are the sites, judged on
        later weeks of that one.
    held_out : plant that never takes part; "" is the last by name.
    feature_spec : each hour as it is, unless told otherwise.
    """

    scored: ClassVar[bool] = True
    site_schema: ClassVar[SiteSchema] = KNOWN_SCHEMAS["ctown"]

    cache: Path
    days: int = 60
    gap: float = 1.0
    seed: int = 0
    calibration_share: float = 0.2
    workers: int = 0
    protocol: str = "unseen-events"
    held_out: str = ""
    feature_spec: FeatureSpec = HOURLY

    def __post_init__(self) -> None:
        if self.protocol not in _PROTOCOLS:
            raise ConfigError(f"plants: protocol {self.protocol!r}; expected one of {_PROTOCOLS}")
        if self.held_out and self.protocol != _LEAVE_ONE_OUT:
            raise ConfigError(
                f"plants: held-out plant {self.held_out!r} with protocol {self.protocol!r}; every "
                f"plant takes part in it. Leave data.held-out empty, or set "
                f"data.protocol={_LEAVE_ONE_OUT}"
            )

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Open it as the run config says."""
        refuse_partition(config)
        return cls(
            cache=cache_dir(config),
            days=config.plants.days,
            gap=config.plants.gap,
            seed=config.data.seed,
            calibration_share=config.data.calibration_share,
            workers=config.twin.workers,
            protocol=config.data.protocol,
            held_out=config.data.held_out,
            feature_spec=chosen_features(config, HOURLY),
        )

    @property
    def schema(self) -> Schema:
        """The plant's 43 channels, hourly."""
        return SCADA

    def sites(self, k: int) -> list[str]:
        """Names of the `k` plants that take part."""
        return [_name(index) for index in self._taking_part(k)]

    def prepare(self, k: int, on_progress: Callable[[int, int], None]) -> None:
        """Simulate what is not cached yet, a process per core, so that sites only read."""
        # The solver is a C library with global state: forking a process that uses it is unsafe.
        context = multiprocessing.get_context("spawn")
        missing = [index for index in self._everyone(k) if not self._cached(index)]
        with ProcessPoolExecutor(self.workers or os.cpu_count() or 1, context) as pool:
            for done, _ in enumerate(pool.map(self._simulate, missing), start=1):
                on_progress(done, len(missing))

    def load_site(self, index: int, k: int) -> SiteData:
        """Load plant `index` (0 to k - 1) of the `k` that take part."""
        plant = self._taking_part(k)[index]
        name, series = _name(plant), self._part(plant, "normal")
        quality = assess(name, series, SCADA)
        spec, share = self.feature_spec, self.calibration_share
        return build_site(name, series, SCADA, spec, share, quality)

    def load_evaluation(self, k: int) -> Features:
        """Load three later weeks of every plant that is judged, with one attack a week."""
        held_out = self._held_out(k)
        judged = self._everyone(k) if held_out is None else [held_out]
        parts = [self._part(index, "attacked") for index in judged]
        return concat([make_features(part, SCADA, self.feature_spec) for part in parts])

    def describe(self, k: int) -> str:
        """Say how far the plants are from the nominal twin, on normal operation."""
        # Statistics take a second to load, which a gateway with data of its own is spared.
        from twin.compare import compare  # noqa: PLC0415 - see above

        nominal = CTownTwin(default_plant())
        hours = self.days * 24
        scenario = nominal.plan(1, hours, self.seed, ())[0]
        twin = build_dataset(nominal, [scenario], self.cache).series
        distances = [
            float(compare(twin, self._part(i, "normal"), SCADA)["ks"].mean())
            for i in self._taking_part(k)
        ]
        held_out = self._held_out(k)
        judged = "" if held_out is None else f"; judged on {_name(held_out)}, which takes no part"
        return (
            f"{k} simulated plants, {self.days} days each; Kolmogorov-Smirnov distance to the twin "
            f"{np.mean(distances):.3f} on average, {max(distances):.3f} at most (gap {self.gap:g})"
            f"{judged}"
        )

    @staticmethod
    def family_of(event: str) -> str:
        """Return "pump_speed" of "plant-01 pump_speed:PU7#0"."""
        return event.rpartition(" ")[2].partition(":")[0]

    def read_file(self, path: Path) -> pd.DataFrame:
        """Read a file in BATADAL's layout: the one plant of this kind with public files."""
        return read_batadal(path)

    def plant(self, index: int) -> PlantModel:
        """Return the numbers of plant `index`."""
        rng = np.random.default_rng([self.seed, index])
        return vary_plant(default_plant(), self.gap, rng)

    def plant_named(self, name: str) -> PlantModel:
        """Return the numbers of the plant called `name`, e.g. "plant-01"; DataError for another."""
        number = name.removeprefix("plant-")
        index = int(number) - 1 if number.isascii() and number.isdecimal() else -1
        if index < 0 or _name(index) != name:
            raise DataError(f"no plant is called {name[:64]!r}; expected one such as 'plant-01'")
        return self.plant(index)

    def _everyone(self, k: int) -> range:
        """Indices of all plants: the `k` that take part and, where one is held out, that one."""
        extra = self.protocol == _LEAVE_ONE_OUT
        if not 1 <= k <= _MOST_PLANTS - extra:
            raise DataError(f"plants: {k} sites; expected 1 to {_MOST_PLANTS - extra}")
        return range(k + extra)

    def _held_out(self, k: int) -> int | None:
        """Index of the plant that never takes part; None where all do."""
        if self.protocol != _LEAVE_ONE_OUT:
            return None
        names = [_name(index) for index in self._everyone(k)]
        held_out = self.held_out or names[-1]
        if held_out not in names:
            raise ConfigError(
                f"plants: held-out plant {held_out!r}; with {k} sites expected one of {names}"
            )
        return names.index(held_out)

    def _taking_part(self, k: int) -> list[int]:
        """Indices of the `k` plants that are sites."""
        held_out = self._held_out(k)
        return [index for index in self._everyone(k) if index != held_out]

    def _part(self, index: int, part: str) -> pd.DataFrame:
        twin, scenarios = self._plan(index)
        series = build_dataset(twin, scenarios, self.cache).series
        chosen = series[series[INSTANCE] == _instance(index, part)].reset_index(drop=True)
        # Two plants may suffer the same kind of attack; each is an event of its own.
        chosen[EVENT] = [f"{_name(index)} {event}" if event else "" for event in chosen[EVENT]]
        return chosen

    def _simulate(self, index: int) -> None:
        build_dataset(*self._plan(index), self.cache)

    def _cached(self, index: int) -> bool:
        return (self.cache / f"twin-{dataset_digest(*self._plan(index))}.parquet").exists()

    def _plan(self, index: int) -> tuple[CTownTwin, list[Scenario]]:
        twin = CTownTwin(self.plant(index))
        seeds = np.random.default_rng([self.seed, index, 1]).integers(2**31, size=2)
        (attacked,) = twin.plan(1, _EVALUATION_HOURS, int(seeds[0]), ("attack",))
        scenarios = [
            Scenario(_instance(index, "normal"), self.days * 24, int(seeds[1])),
            replace(attacked, name=_instance(index, "attacked")),
        ]
        return twin, scenarios


def vary_plant(plant: PlantModel, gap: float, rng: np.random.Generator) -> PlantModel:
    """Return a plant that differs from `plant` at random; `gap` scales every difference.

    Demands and pipe roughness vary log-normally, demand patterns hour by hour, set-points by
    centimetres; pumps lose head and sensors gain noise.
    """
    wear = {pump: 1.0 - gap * _PUMP_WEAR * rng.random() for pump in sorted(plant.pump_curves)}
    spread = partial(rng.normal, 0.0)
    return replace(
        plant,
        demands={k: _vary_demand(d, gap, rng) for k, d in sorted(plant.demands.items())},
        roughness={
            k: float(f * np.exp(spread(gap * _ROUGHNESS_SPREAD)))
            for k, f in sorted(plant.roughness.items())
        },
        setpoints={k: _vary_setpoint(s, gap, rng) for k, s in sorted(plant.setpoints.items())},
        pump_curves={
            pump: tuple((q, h * wear[pump]) for q, h in curve)
            for pump, curve in sorted(plant.pump_curves.items())
        },
        sensor_noise={kind: gap * sd for kind, sd in _SENSOR_NOISE.items()},
    )


def _vary_demand(demand: DmaDemand, gap: float, rng: np.random.Generator) -> DmaDemand:
    hours = len(demand.pattern)
    shape = np.array(demand.pattern) * np.exp(rng.normal(0.0, gap * _PATTERN_SPREAD, hours))
    return replace(
        demand,
        mean_lps=float(demand.mean_lps * np.exp(rng.normal(0.0, gap * _DEMAND_SPREAD))),
        pattern=tuple((shape / shape.mean()).tolist()),
    )


def _vary_setpoint(rule: SetPoint, gap: float, rng: np.random.Generator) -> SetPoint:
    low, high = rng.normal(0.0, gap * _SETPOINT_SPREAD_M, 2)
    # Never higher than before at the top: some tanks overflow centimetres above it.
    return SetPoint(rule.tank, max(rule.on_below + low, 0.1), rule.off_above - abs(high))


def _name(index: int) -> str:
    return f"plant-{index + 1:02d}"


def _instance(index: int, part: str) -> str:
    return f"{_name(index)}/{part}"
