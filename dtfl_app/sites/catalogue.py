"""Which data set a run uses: the one place that knows all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.sites.batadal import DATASET04
from dtfl_app.sites.batadal_sites import HOURLY, BatadalDataset
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.federation import FederatedDataset, resolve_data_dir
from dtfl_app.sites.files_sites import FilesDataset, each_reading
from dtfl_app.sites.site_schema import read_site_schema
from dtfl_app.sites.threew import DEFAULT_CHANNELS
from dtfl_app.sites.threew_sites import FIVE_MINUTES, ThreeWDataset

__all__ = ["FILES", "SCHEMA_FILE", "cache_dir", "file_in", "open_dataset", "open_files"]

#: Name of the data set whose sites are files of their owners.
FILES = "files"
#: Name of a site schema where no other is given: in data.dir, and in the folder of a run.
SCHEMA_FILE = "schema.toml"


def cache_dir(config: RunConfig) -> Path:
    """Folder for simulated data: `cache-dir`, or ~/.cache/dtfl."""
    return Path(config.run.cache_dir or "~/.cache/dtfl").expanduser().absolute()


def open_dataset(config: RunConfig) -> FederatedDataset:
    """Return the data set that the run config names; nothing is read or simulated yet."""
    name = config.run.dataset
    if name not in _OPENERS:
        raise ConfigError(f"run config: dataset = {name!r}; expected one of {sorted(_OPENERS)}")
    return _OPENERS[name](config)


def _spec(config: RunConfig, default: FeatureSpec) -> FeatureSpec:
    chosen = config.features
    return FeatureSpec(
        chosen.window_s or default.window_s,
        chosen.step_s or default.step_s,
        tuple(s.strip() for s in chosen.statistics.split(",") if s.strip()) or default.statistics,
    )


def file_in(config: RunConfig, name: str) -> Path:
    """Path of a file that a setting names: a path from the root, or one in data.dir."""
    return Path(config.data.dir).expanduser() / Path(name).expanduser()


def open_files(config: RunConfig, schema: Path | None = None) -> FilesDataset:
    """Return the files that the run config names; only their schema is read.

    `schema` : another site schema than the run's; then there is no folder.

    Raises ConfigError where the settings do not say enough, SchemaError for a wrong schema.
    """
    data = config.data
    folder = None if schema or not data.dir else resolve_data_dir(data.dir)
    if schema is None:
        schema = file_in(config, data.schema or SCHEMA_FILE)
        _require_schema(config, schema)
    found = read_site_schema(schema)
    recording = config.twin.recording
    return FilesDataset(
        site_schema=found,
        folder=folder,
        evaluation=file_in(config, data.evaluation_file) if data.evaluation_file else None,
        apart=(file_in(config, recording),) if recording else (),
        calibration_share=data.calibration_share,
        feature_spec=_spec(config, each_reading(found.schema)),
    )


def _require_schema(config: RunConfig, schema: Path) -> None:
    data = config.data
    if not data.schema and not data.dir:
        raise ConfigError(
            'run config: dataset = "files" needs data.dir, the folder of the sites\' files with '
            f"{SCHEMA_FILE} in it, or, where every node has its own file, schema, the path from "
            "the root of the site schema"
        )
    if not schema.is_absolute():
        raise ConfigError(
            f"run config: data.schema = {data.schema!r}, data.dir = {data.dir!r}; the app runs in "
            "a folder of its own, so expected paths from the root"
        )


def _batadal(config: RunConfig) -> FederatedDataset:
    partition = config.data.partition
    return BatadalDataset(
        data_dir=resolve_data_dir(config.data.dir),
        partition="time-blocks" if partition == "auto" else partition,
        protocol=config.data.protocol,
        seed=config.data.seed,
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
        data_dir=resolve_data_dir(config.data.dir),
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
        days=config.plants.days,
        gap=config.plants.gap,
        seed=config.data.seed,
        calibration_share=config.data.calibration_share,
        workers=config.twin.workers,
        protocol=config.data.protocol,
        held_out=config.data.held_out,
        feature_spec=_spec(config, HOURLY),
    )


def _refuse_partition(config: RunConfig) -> None:
    if config.data.partition != "auto":
        raise ConfigError(
            f"run config: data.partition = {config.data.partition!r}, but the sites of "
            f"{config.run.dataset} are what they are; leave partition at 'auto'"
        )


def _files(config: RunConfig) -> FederatedDataset:
    _refuse_partition(config)
    if config.data.protocol != "unseen-attacks":
        raise ConfigError(
            f"run config: data.protocol = {config.data.protocol!r}, but files are judged by the "
            "file that data.evaluation-file names; leave protocol at 'unseen-attacks'"
        )
    return open_files(config)


_OPENERS: dict[str, Callable[[RunConfig], FederatedDataset]] = {
    "batadal": _batadal,
    FILES: _files,
    "plants": _plants,
    "threew": _threew,
}
