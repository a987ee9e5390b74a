"""Which data set a run uses: the one place that knows all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dtfl_app.config import RunConfig
from dtfl_app.errors import ConfigError
from dtfl_app.sites.batadal import DATASET04
from dtfl_app.sites.batadal_sites import HOURLY, BatadalDataset
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.federation import FederatedDataset, resolve_data_dir
from dtfl_app.sites.threew import DEFAULT_CHANNELS
from dtfl_app.sites.threew_sites import FIVE_MINUTES, ThreeWDataset

__all__ = ["cache_dir", "open_dataset"]


def cache_dir(config: RunConfig) -> Path:
    """Folder for simulated data: `cache-dir`, or ~/.cache/dtfl."""
    return Path(config.data.cache_dir or "~/.cache/dtfl").expanduser().absolute()


def open_dataset(config: RunConfig) -> FederatedDataset:
    """Return the data set that the run config names; nothing is read or simulated yet."""
    name = config.data.dataset
    if name not in _OPENERS:
        raise ConfigError(f"run config: dataset = {name!r}; expected one of {sorted(_OPENERS)}")
    return _OPENERS[name](config)


def _spec(config: RunConfig, default: FeatureSpec) -> FeatureSpec:
    data = config.data
    return FeatureSpec(
        data.feature_window_s or default.window_s,
        data.feature_step_s or default.step_s,
        default.statistics,
    )


def _batadal(config: RunConfig) -> FederatedDataset:
    partition = config.data.partition
    return BatadalDataset(
        data_dir=resolve_data_dir(config.data.data_dir),
        partition="time-blocks" if partition == "auto" else partition,
        protocol=config.data.protocol,
        seed=config.data.data_seed,
        calibration_share=config.data.calibration_share,
        dirichlet_alpha=config.data.dirichlet_alpha,
        known_attacks=config.data.known_attacks,
        evaluation_file=config.data.evaluation_file or DATASET04,
        unseen=config.data.unseen_kinds,
        feature_spec=_spec(config, HOURLY),
    )


def _threew(config: RunConfig) -> FederatedDataset:
    _refuse_partition(config)
    channels = tuple(c.strip() for c in config.data.channels.split(",") if c.strip())
    return ThreeWDataset(
        data_dir=resolve_data_dir(config.data.data_dir),
        protocol=config.data.protocol,
        held_out=config.data.held_out,
        channels=channels or DEFAULT_CHANNELS,
        calibration_share=config.data.calibration_share,
        feature_spec=_spec(config, FIVE_MINUTES),
    )


def _plants(config: RunConfig) -> FederatedDataset:
    # EPANET is loaded where plants are simulated, not at a gateway with its own data.
    from dtfl_app.sites.plants import PlantsDataset  # noqa: PLC0415 - see above

    _refuse_partition(config)
    return PlantsDataset(
        cache=cache_dir(config),
        days=config.data.plant_days,
        gap=config.data.plant_gap,
        seed=config.data.data_seed,
        calibration_share=config.data.calibration_share,
        workers=config.twin.twin_workers,
        protocol=config.data.protocol,
        held_out=config.data.held_out,
        feature_spec=_spec(config, HOURLY),
    )


def _refuse_partition(config: RunConfig) -> None:
    if config.data.partition != "auto":
        raise ConfigError(
            f"run config: partition = {config.data.partition!r}, but the sites of "
            f"{config.data.dataset} are what they are; leave partition at 'auto'"
        )


_OPENERS: dict[str, Callable[[RunConfig], FederatedDataset]] = {
    "batadal": _batadal,
    "plants": _plants,
    "threew": _threew,
}
