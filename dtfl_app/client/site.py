"""One site as a node has it: which it is, its data, prepared once, and its detector."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial

import numpy as np
import torch
from flwr.app import Context
from numpy.typing import NDArray

from dtfl_app.client.policy import SitePolicy
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DTFLError, SiteError
from dtfl_app.core.logs import log
from dtfl_app.core.node_config import NodeConfig, Part
from dtfl_app.core.settings import Value
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.models import build_model, require_detector, resolve_device
from dtfl_app.detector.params import set_params
from dtfl_app.detector.probe import probe
from dtfl_app.inputs.physics import SitePhysics, open_physics
from dtfl_app.inputs.preparation import (
    Prepared,
    model_spec,
    prepare,
    scaler_from_arrays,
)
from dtfl_app.messages.egress import discreet_errors
from dtfl_app.messages.quantise import dequantise
from dtfl_app.messages.wire import (
    MODEL,
    PHYSICS,
    SCALER,
    Arrays,
    with_prefix,
)
from dtfl_app.sites.catalogue import dataset_class
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import LEAST_WINDOWS, FederatedDataset, SiteData, least_windows
from dtfl_app.sites.scaling import Scaler

__all__ = ["Site", "open_site"]

# The models are small: a second thread costs more than it brings, and sites share the host.
torch.set_num_threads(1)


_NO_POLICY = SitePolicy()


class Site:
    """One site's data in this process, prepared once for the scaling in force.

    Parameters
    ----------
    config : the run's settings.
    data : the site's features.
    physics : gives physical evidence; None where none is wanted.
    least : windows, of normal operation or with a reading of a channel, whose moments may leave.
    policy : what the site insists on.
    evaluation : loads the labelled rows that a model of the site's own is judged by; None = none.
    """

    def __init__(
        self,
        config: RunConfig,
        data: SiteData,
        physics: SitePhysics | None,
        least: int = LEAST_WINDOWS,
        policy: SitePolicy = _NO_POLICY,
        evaluation: Callable[[], Features | None] = lambda: None,
    ) -> None:
        self.config = config
        self.data = data
        self.physics = physics
        self.least = least
        self.policy = policy
        self._evaluation = evaluation
        self._labelled: Prepared | None = None
        self._key: dict[str, object] = {}
        self._prepared: tuple[Prepared, Prepared] | None = None
        # Drawing initial weights costs more than a pass over a site's rows.
        self._models: dict[str, Detector] = {}

    @property
    def name(self) -> str:
        """Stable name; the server knows the site by it."""
        return self.data.name

    def prepared(self, arrays: Arrays) -> tuple[Prepared, Prepared]:
        """Training and calibration rows, with the scaling and demands the federation agreed on."""
        scaler = scaler_from_arrays(with_prefix(SCALER, arrays))
        if self._prepared is None or self._key != scaler.to_dict():
            expected = with_prefix(PHYSICS, arrays).get("demand")
            self._prepared = (
                self._prepare(self.data.features_train, scaler, expected),
                self._prepare(self.data.features_cal, scaler, expected),
            )
            self._key, self._labelled = scaler.to_dict(), None
        return self._prepared

    def labelled(self, arrays: Arrays) -> Prepared | None:
        """The labelled rows of this site, prepared as `prepared` does; None where it has none."""
        self.prepared(arrays)
        if self._labelled is None and (features := self._evaluation()) is not None:
            scaler = scaler_from_arrays(with_prefix(SCALER, arrays))
            expected = with_prefix(PHYSICS, arrays).get("demand")
            self._labelled = self._prepare(features, scaler, expected)
        return self._labelled

    def _prepare(
        self, features: Features, scaler: Scaler, expected: NDArray[np.generic] | None
    ) -> Prepared:
        demand = None if expected is None else expected.astype(np.float64)
        physics = self.physics.evidence(features, demand) if self.physics else {}
        return prepare(features, scaler, self.config.detector.window, physics)

    def model(self, arrays: Arrays, prefix: str = MODEL) -> Detector:
        """Return the site's detector called `prefix`, with the received parameters."""
        if prefix not in self._models:
            spec = model_spec(self.config.detector, len(self.data.features_train.names))
            device = resolve_device(self.config.run.device)
            self._models[prefix] = probe(build_model(spec, seed=0).to(device))
        model = self._models[prefix]
        set_params(model, dequantise(with_prefix(prefix, arrays)))
        return model

    def rng(self, server_round: int) -> np.random.Generator:
        """Randomness of this site in this round, whatever its node id."""
        return np.random.default_rng(
            [self.config.run.seed, zlib.crc32(self.name.encode()), server_round]
        )


def open_site(context: Context) -> Site:
    """Return the site that this node stands for: its own file, or a part of the run's data set.

    Raises ConfigError where the node config does not say which.
    """
    node = NodeConfig.from_mapping(context.node_config)
    return _open_site(tuple(sorted(context.run_config.items())), node)


# One simulation worker serves many sites in turn; reading a site's files each round would cost
# more than training on them.
@lru_cache(maxsize=64)
def _open_site(run_config: tuple[tuple[str, Value], ...], node: NodeConfig) -> Site:
    config = node.applied_to(RunConfig.from_mapping(dict(run_config)))
    policy = SitePolicy.read(node.policy) if node.policy else _NO_POLICY
    policy.require(config)
    kind = dataset_class(config)
    if isinstance(node.data, Part):
        dataset, part = kind.from_config(config), node.data
        with discreet_errors(lambda: _who(dataset, part)):
            data = dataset.load_site(part.index, part.total)
        evaluation: Callable[[], Features | None] = partial(_own_rows, dataset, part)
    else:
        own, evaluation = node.data, _no_rows
        with discreet_errors(lambda: f"site {own.site}: "):
            dataset, data = kind.from_own_file(config, own)
    _say_found(data)
    least = least_windows(dataset.schema, dataset.feature_spec, policy.least_readings)
    _require_enough(data, config, least)
    return Site(config, data, open_physics(config, dataset), least, policy, evaluation)


def _no_rows() -> None:
    """A node with a file of its own has no evaluation set."""


def _own_rows(dataset: FederatedDataset, part: Part) -> Features | None:
    """The evaluation set's rows of this site; all of them where none is of any site."""
    found = dataset.load_evaluation(part.total)
    if found is None:
        return None
    sites, (names, place) = (
        dataset.sites(part.total),
        np.unique(found.instance, return_inverse=True),
    )
    owners = np.array([dataset.site_of(str(name)) for name in names], dtype=str)[place]
    if not np.isin(owners, sites).any():
        return found
    return found.take(owners == sites[part.index])


def _who(dataset: FederatedDataset, part: Part) -> str:
    """Name the site that could not be loaded, where that much is known."""
    with suppress(DTFLError):
        return f"site {dataset.sites(part.total)[part.index]}: "
    return ""


def _say_found(data: SiteData) -> None:
    if data.quality.repeated:
        log.info("site %s: %d repeated rows left out", data.name, data.quality.repeated)
    if data.quality.filled:
        log.info("site %s: gaps filled with %d rows", data.name, data.quality.filled)
    if not data.normal[1]:
        log.warning(
            "site %s: no window of normal operation is left to calibrate on, so it has no part in "
            "the thresholds; give it a longer recording, or use shorter windows "
            "(features.window-s)",
            data.name,
        )


def _require_enough(data: SiteData, config: RunConfig, least: int) -> None:
    """Refuse a site of so few windows that what it sends would come close to its readings."""
    counted = {"windows of normal operation": data.normal[0]}
    if require_detector(config.detector).needs_labels:
        counted["labelled windows"] = int(np.count_nonzero(data.features_train.label >= 0))
    for what, count in counted.items():
        if count < least:
            raise SiteError(
                f"site {data.name}: it has fewer than {least} {what} to train on, too few "
                "to keep its readings to itself; give it a longer recording, or use shorter "
                "windows (features.window-s)"
            )
