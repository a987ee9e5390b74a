"""Node config of one site -> one frozen, validated object: which data it stands for.

In deployment a SuperNode is started with ``--node-config`` and the keys

data-path      the site's own file, .csv or .parquet
site-name      what the federation calls the site
data.schema    the site schema at this node
twin.plant     calibrated plant of the site, for its physical evidence
twin.network   EPANET file of the site, likewise
state.dir      see ``dtfl_app.client.state``
policy         what the site insists on, see ``dtfl_app.client.policy``

all paths from the root. A key with a dot is one of the run config's, which it overrides. In
simulation Flower gives partition-id and num-partitions instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.naming import SITE_NAME, is_site_name
from dtfl_app.core.renamed import refuse_old
from dtfl_app.core.settings import Value

__all__ = ["NodeConfig", "OwnData", "Part"]

_EXAMPLE = '--node-config \'data-path="/data/readings.csv" site-name="north"\''


@dataclass(frozen=True, slots=True)
class Part:
    """Site number `index`, from 0, of `total` that one data set is cut into."""

    index: int
    total: int


@dataclass(frozen=True, slots=True)
class OwnData:
    """A site with a file of its own.

    Parameters
    ----------
    site : its name.
    path : the file.
    schema : its site schema; None = the run's.
    """

    site: str
    path: Path
    schema: Path | None


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node is told about itself.

    Parameters
    ----------
    data : what it stands for.
    twin_plant, twin_network : files of the site's own physics; empty = the run's.
    policy : what the site insists on; None = nothing but the defaults.
    """

    data: Part | OwnData
    twin_plant: str = ""
    twin_network: str = ""
    policy: Path | None = None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Value]) -> NodeConfig:
        """Read Flower's node config; ConfigError names the key that is wrong or missing."""
        refuse_old(mapping, "node config")
        data = _own_data(mapping) if "data-path" in mapping else _part(mapping)
        plant, network = (
            str(_file(mapping, key)) if key in mapping else ""
            for key in ("twin.plant", "twin.network")
        )
        policy = _file(mapping, "policy") if "policy" in mapping else None
        return cls(data, plant, network, policy)

    def applied_to(self, config: RunConfig) -> RunConfig:
        """Return the run config with the site's own physics."""
        twin = config.twin
        own = replace(
            twin,
            plant=self.twin_plant or twin.plant,
            network=self.twin_network or twin.network,
        )
        return replace(config, twin=own)


def _part(mapping: Mapping[str, Value]) -> Part:
    index, total = mapping.get("partition-id"), mapping.get("num-partitions")
    if not isinstance(index, int) or not isinstance(total, int):
        raise ConfigError(
            f"node config: partition-id = {index!r}, num-partitions = {total!r}; expected two "
            "integers, as Flower's simulation gives them, or in deployment data-path and "
            f"site-name, e.g. {_EXAMPLE}; found {sorted(mapping)}"
        )
    return Part(index, total)


def _own_data(mapping: Mapping[str, Value]) -> OwnData:
    name = mapping.get("site-name")
    name = name.strip() if isinstance(name, str) else ""
    if not is_site_name(name):
        raise ConfigError(
            f"node config: site-name = {mapping.get('site-name')!r}; expected the name of the site "
            f"whose file data-path is, {SITE_NAME}, e.g. {_EXAMPLE}"
        )
    schema = _file(mapping, "data.schema") if "data.schema" in mapping else None
    return OwnData(name, _file(mapping, "data-path"), schema)


def _file(mapping: Mapping[str, Value], key: str) -> Path:
    value = mapping[key]
    if not isinstance(value, str) or not Path(value).is_absolute():
        raise ConfigError(
            f"node config: {key} = {value!r}; expected a path from the root, in quotes, e.g. "
            f'{key}="/data/{_NAMES[key]}"'
        )
    if not Path(value).is_file():
        raise ConfigError(
            f"node config: {key} = {value!r}: there is no such file at this node, or it may not be "
            "read; in a container, check that the folder is mounted"
        )
    return Path(value)


_NAMES = {
    "data-path": "readings.csv",
    "data.schema": "schema.toml",
    "twin.plant": "plant.json",
    "twin.network": "network.inp",
    "policy": "policy.toml",
}
