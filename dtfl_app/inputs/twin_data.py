"""A run's twin at work: its synthetic data as features of the sites' kind."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, TwinError
from dtfl_app.core.logs import log
from dtfl_app.detector.models import find_detector
from dtfl_app.inputs.twins import make_twin
from dtfl_app.sites.features import Features, make_features, no_window
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.folders import cache_dir
from dtfl_app.sites.stretches import interruptions, recording_of
from twin.base import EventfulTwin, Scenario, Twin
from twin.dataset import build_dataset
from twin.recorded import RecordedTwin
from twin.schema import INSTANCE, TIME, Schema

__all__ = ["TwinData", "make_twin_data"]


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
    return twin.plan(settings.scenarios, settings.hours, seed, _families(config, twin))


def _families(config: RunConfig, twin: Twin) -> list[str]:
    """Kinds of event that the twin simulates; none for a detector of normal behaviour."""
    named = [f.strip() for f in config.twin.families.split(",") if f.strip()]
    unseen = config.data.unseen_kinds
    if named and unseen:
        raise ConfigError(
            f"run config: twin.families = {config.twin.families!r} and protocol = "
            "'unseen-families' both say what the twin simulates; leave twin.families empty"
        )
    if named or not find_detector(config.detector.model).needs_labels:
        return named
    return [k for k in twin.kinds if k not in unseen] if isinstance(twin, EventfulTwin) else []


def _log_progress(done: int, total: int) -> None:
    if done == total or done % max(1, total // 10) == 0:
        log.info("twin: %d of %d scenarios simulated", done, total)
