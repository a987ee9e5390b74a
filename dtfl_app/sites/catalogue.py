"""Which data set a run uses: the one place that knows all of them."""

from __future__ import annotations

from dtfl_app.core.config import RunConfig
from dtfl_app.core.registry import Registry
from dtfl_app.sites.federation import FederatedDataset

__all__ = ["DATASETS", "dataset_class", "find_dataset", "open_dataset"]


def _is_dataset(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, FederatedDataset)


#: What the setting `dataset` can name.
DATASETS = Registry(
    "dataset",
    "a subclass of FederatedDataset",
    {
        "batadal": "dtfl_app.sites.batadal_sites:BatadalDataset",
        "files": "dtfl_app.sites.files_sites:FilesDataset",
        "plants": "dtfl_app.sites.plants:PlantsDataset",
        "threew": "dtfl_app.sites.threew_sites:ThreeWDataset",
    },
    "dtfl.datasets",
    _is_dataset,
)


def find_dataset(name: str) -> type[FederatedDataset]:
    """Return the class of data set that `name` stands for, or raise ConfigError."""
    found: type[FederatedDataset] = DATASETS.find(name)
    return found


def dataset_class(config: RunConfig) -> type[FederatedDataset]:
    """Return the class that the run config names; ConfigError for options that it has not."""
    found = find_dataset(config.run.dataset)
    found.options(config)
    return found


def open_dataset(config: RunConfig) -> FederatedDataset:
    """Return the data set that the run config names; nothing is read or simulated yet."""
    return dataset_class(config).from_config(config)
