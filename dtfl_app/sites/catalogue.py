"""Which data set a run uses: the one place that knows all of them."""

from __future__ import annotations

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.sites.batadal_sites import BatadalDataset
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.files_sites import FilesDataset
from dtfl_app.sites.plants import PlantsDataset
from dtfl_app.sites.threew_sites import ThreeWDataset

__all__ = ["DATASETS", "find_dataset", "open_dataset"]

#: What the setting `dataset` can name.
DATASETS: dict[str, type[FederatedDataset]] = {
    "batadal": BatadalDataset,
    "files": FilesDataset,
    "plants": PlantsDataset,
    "threew": ThreeWDataset,
}


def find_dataset(name: str) -> type[FederatedDataset]:
    """Return the class of data set that `name` stands for, or raise ConfigError."""
    if name not in DATASETS:
        raise ConfigError(f"run config: dataset = {name!r}; expected one of {sorted(DATASETS)}")
    return DATASETS[name]


def open_dataset(config: RunConfig) -> FederatedDataset:
    """Return the data set that the run config names; nothing is read or simulated yet."""
    return find_dataset(config.run.dataset).from_config(config)
