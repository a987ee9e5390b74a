"""Which twin a run has, and its synthetic data as features of the sites' kind."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, TwinError
from dtfl_app.core.logs import log
from dtfl_app.sites.features import Features, make_features, no_window
from dtfl_app.sites.federation import FederatedDataset, OwnTwin
from dtfl_app.sites.folders import cache_dir, file_in
from dtfl_app.sites.readers import read_table
from dtfl_app.sites.stretches import interruptions, recording_of
from twin.base import Scenario, Twin
from twin.ctown.channels import SCADA
from twin.ctown.defaults import SETPOINTS, default_plant
from twin.ctown.events import kinds_of
from twin.ctown.network import network_of
from twin.ctown.plant import PlantModel
from twin.ctown.simulate import CTownTwin
from twin.dataset import build_dataset
from twin.recorded import RecordedTwin
from twin.schema import INSTANCE, TIME, Schema

__all__ = ["TwinData", "is_ctown", "make_twin", "make_twin_data", "own_plant"]

# What a classifier can learn from the C-Town twin; an autoencoder needs normal operation alone.
FAMILIES = ("attack", "fault")


@dataclass(frozen=True, slots=True, eq=False)
class TwinData:
    """A twin's synthetic data.

    Parameters
    ----------
    features : labelled features in physical units, made like the sites'.
    fingerprint : digest of the twin.
    source : what it is and how fast it was made, for the log.
    """

    features: Features
    fingerprint: str
    source: str


def make_twin(config: RunConfig, dataset: FederatedDataset) -> Twin | None:
    """Build the twin that the run config asks for; None for twin = "none".

    With twin = "auto" it is the data set's own. Raises ConfigError where the twin's channels, units
    or period are not the sites'.
    """
    own, schema = dataset.own_twin, dataset.schema
    kind = own.kind if config.twin.kind == "auto" else config.twin.kind
    if kind == "none":
        return None
    if kind == "ctown":
        twin: Twin = CTownTwin(_simulated_plant(config, own))
    else:
        twin = _recorded(config, dataset)
    if _channels(twin.schema) != _channels(schema):
        raise ConfigError(
            f"the twin's channels {_channels(twin.schema)} are not the sites' {_channels(schema)}; "
            'choose the twin that belongs to the dataset, or twin.kind = "none"'
        )
    if twin.schema.period_s != schema.period_s:
        raise ConfigError(
            f"the twin gives a sample every {twin.schema.period_s:g} s, the sites one every "
            f'{schema.period_s:g} s; resample the sites\' files, or choose twin.kind = "none"'
        )
    return twin


def is_ctown(dataset: FederatedDataset) -> bool:
    """Whether the sites are plants of C-Town's layout, with its channels."""
    same = _channels(dataset.schema) == _channels(SCADA)
    return dataset.own_twin.kind == "ctown" and same


def _channels(schema: Schema) -> list[str]:
    return [f"{channel.name} [{channel.unit}]" for channel in schema.channels]


def make_twin_data(config: RunConfig, dataset: FederatedDataset) -> TwinData | None:
    """Simulate (or read from the cache) the twin's data; None without a twin.

    Raises TwinError when it has gaps, or gives no feature window.
    """
    twin = make_twin(config, dataset)
    if twin is None:
        return None
    settings = config.twin
    scenarios = _scenarios(config, twin)
    # Replaying is quicker than handing the recording to another process.
    replayed = isinstance(twin, RecordedTwin)
    workers = 1 if replayed else settings.workers or os.cpu_count() or 1
    built = build_dataset(twin, scenarios, cache_dir(config), workers, _log_progress)
    source = twin.source if isinstance(twin, RecordedTwin) else str(built.path)
    _check_complete(built.series, dataset.schema, source)
    features = make_features(built.series, dataset.schema, dataset.feature_spec)
    if not len(features):
        why = no_window(built.series, dataset.schema, dataset.feature_spec)
        raise TwinError(f"the twin's data: {why}; or simulate longer scenarios (twin.hours)")
    how = "from the cache" if built.from_cache else f"{built.hours_per_second:.0f} simulated h/s"
    made = f"{len(scenarios)} scenarios, {len(features)} rows, {how}"
    if built.dropped:
        made += f", {len(built.dropped)} dropped"
    if isinstance(twin, RecordedTwin):
        made += _taken(twin, scenarios, built.series)
    return TwinData(features, twin.fingerprint(), made)


def _taken(twin: RecordedTwin, scenarios: list[Scenario], series: pd.DataFrame) -> str:
    """Say what of a recording is used, and warn where it is not all of its instances."""
    there, rows, every = len(twin.instances), len(series), twin.recorded_rows
    if len(scenarios) < there:
        log.warning(
            "twin: %s holds %d recorded stretches, and the first %d are used, %s to %s: %d of %d "
            "rows; twin.scenarios=%d takes all",
            twin.source, there, len(scenarios), scenarios[0].name, scenarios[-1].name, rows, every,
            there,
        )  # fmt: skip
    told = "" if rows == every else f", of {there} scenarios and {every} rows recorded"
    gaps = _gaps(series, twin.schema.period_s)
    return told + (f", {gaps} gaps in time that no window reaches across" if gaps else "")


def _gaps(series: pd.DataFrame, period_s: float) -> int:
    """How often time is missing within a recording, whether or not its parts are named."""
    recording = series[INSTANCE].map(recording_of).to_numpy()
    missing = interruptions(series[TIME].to_numpy(), period_s)
    return int(np.count_nonzero(missing & (recording[1:] == recording[:-1])))


def _check_complete(series: pd.DataFrame, schema: Schema, source: str) -> None:
    """Refuse missing readings: scaled they would read as the sites' mean, and be learnt as such.

    What is infinite or outside a channel's range has been refused by the schema before.
    """
    missing = series[schema.names].isna().to_numpy()  # shape: (n, d)
    if not missing.any():
        return
    row, column = (int(index) for index in np.argwhere(missing)[0])
    raise TwinError(
        f"{source}: instance {series[INSTANCE].iloc[row]!r}, row of {series[TIME].iloc[row]}, "
        f"column {schema.names[column]!r} holds no number ({missing.any(axis=1).sum()} of "
        f"{len(series)} rows have such gaps); a twin computes every reading: cut these rows from "
        "the recording, or fill them"
    )


def _scenarios(config: RunConfig, twin: Twin) -> list[Scenario]:
    settings, seed = config.twin, config.data.seed
    if isinstance(twin, RecordedTwin):
        if config.data.unseen_kinds:
            raise ConfigError(
                "run config: data.protocol = 'unseen-families' needs a twin that simulates on "
                'demand, and a recorded one holds what it holds; set twin.kind to "ctown" or "none"'
            )
        names = twin.instances[: settings.scenarios]
        return [Scenario(name, settings.hours, seed) for name in names]
    return twin.plan(settings.scenarios, settings.hours, seed, _families(config))


def _families(config: RunConfig) -> list[str]:
    """Kinds of event that the C-Town twin simulates; none for a detector of normal behaviour."""
    named = [f.strip() for f in config.twin.families.split(",") if f.strip()]
    unseen = config.data.unseen_kinds
    if named and unseen:
        raise ConfigError(
            f"run config: twin.families = {config.twin.families!r} and protocol = "
            "'unseen-families' both say what the twin simulates; leave twin.families empty"
        )
    if named or config.detector.model != "classifier":
        return named
    return [kind for kind in kinds_of(FAMILIES) if kind not in unseen]


def own_plant(config: RunConfig, own: OwnTwin) -> PlantModel:
    """Return the plant that the run config names, or the data set's, as its owner knows it."""
    settings = config.twin
    if settings.plant:
        path = Path(settings.plant)
        try:
            return PlantModel.from_json(path.read_text(), str(path))
        except OSError as error:
            raise ConfigError(
                f"run config: twin.plant = {settings.plant!r} cannot be read ({error}); "
                "expected a JSON file of 'dtfl twin calibrate'"
            ) from error
    plant = default_plant(_network(config, own))
    if own.published_rules and not settings.network:
        plant = replace(plant, setpoints=SETPOINTS)
    return plant


def _simulated_plant(config: RunConfig, own: OwnTwin) -> PlantModel:
    """Return the plant that the twin simulates: the owner's, made wrong by what is asked for."""
    settings = config.twin
    plant = own_plant(config, own)
    plant = plant.scaled(settings.demand_factor, settings.roughness_factor)
    tops = {name: tank.max_level for name, tank in network_of(plant).tanks.items()}
    return plant.with_thresholds(settings.threshold_factor, tops)


def _network(config: RunConfig, own: OwnTwin) -> str:
    named = config.twin.network
    if named or own.network is None:
        return "" if named == "embedded" else named
    if not own.network.exists():
        raise ConfigError(
            f"no network file for the twin of dataset = {config.run.dataset!r}: {own.network} is "
            'missing; name one with twin.network, or set twin.network="embedded" for the '
            "uncalibrated plant, which fits it badly"
        )
    return str(own.network)


def _recorded(config: RunConfig, dataset: FederatedDataset) -> RecordedTwin:
    """The recording that is named, as a labelled series or like a site's file, or the set's."""
    schema, path = dataset.schema, dataset.own_twin.recording
    if config.twin.recording:
        path = file_in(config, config.twin.recording)
        table = read_table(path, dataset.site_schema.csv)
        if set(schema.columns) <= set(table.columns):
            return RecordedTwin(path, schema)
    if path is None:
        raise ConfigError(
            'run config: twin.kind = "recorded" needs twin.recording, the path of a labelled '
            "series or of a file in the sites' schema"
        )
    return RecordedTwin.from_series(dataset.read_recording(path), schema, str(path))


def _log_progress(done: int, total: int) -> None:
    if done == total or done % max(1, total // 10) == 0:
        log.info("twin: %d of %d scenarios simulated", done, total)
