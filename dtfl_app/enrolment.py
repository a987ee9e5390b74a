"""Before round 1: who takes part, do their schemas agree, and what is the common scaling."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from dtfl_app.config import RunConfig
from dtfl_app.errors import ConfigError, DataError, FederationError, ReplyError
from dtfl_app.schema import Schema
from dtfl_app.sites.features import feature_spans
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.scaling import ChannelSums, Scaler
from dtfl_app.wire import Arrays, to_arrays
from twin.ctown.residuals import DemandSums

__all__ = ["Enrolment", "await_nodes", "enrol"]

PROFILE = "query.profile"


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """The sites of a federation.

    Parameters
    ----------
    directory : node id -> site name.
    scaler : standardisation agreed from the sites' pooled moments.
    demand : mean demand in L/s by district and hour of the week, shape (5, 168), pooled from the
        sites' sums; None where no physical evidence needs it.
    quality : site -> channel -> shares of readings "missing", "frozen" and "removed".
    """

    directory: Mapping[int, str]
    scaler: Scaler
    quality: Mapping[str, Mapping[str, Mapping[str, float]]]
    demand: NDArray[np.float64] | None = None

    def findings(self) -> list[str]:
        """Say, site by site, where readings are missing, partly frozen or were removed.

        A channel that never moves is not one: many plants have stand-by pumps.
        """
        found = []
        for site, channels in sorted(self.quality.items()):
            for channel, shares in channels.items():
                frozen = shares["frozen"] if shares["frozen"] < 1.0 else 0.0
                parts = {**shares, "frozen": frozen}
                words = [f"{share:.1%} {what}" for what, share in parts.items() if share > 0.0]
                if words:
                    found.append(f"{site}, {channel}: {', '.join(words)}")
        return found


def await_nodes(grid: Grid, config: RunConfig, dataset: FederatedDataset) -> list[int]:
    """Wait for the sites to connect; return their node ids.

    Raises ConfigError when the number of nodes is not the number of sites, DataError when the data
    set cannot be cut into so many.
    """
    wanted, deadline = config.data.sites, time.monotonic() + config.run.join_timeout
    nodes = list(grid.get_node_ids())
    while len(nodes) < max(wanted, 1) and time.monotonic() < deadline:
        time.sleep(0.2)
        nodes = list(grid.get_node_ids())
    if not nodes or (wanted and len(nodes) != wanted):
        raise ConfigError(
            f"sites = {wanted}, but {len(nodes)} SuperNodes are connected; in simulation give "
            f"--federation-config 'num-supernodes={wanted or 10}', or set sites=0 to take one "
            "site per SuperNode"
        )
    dataset.sites(len(nodes))
    return nodes


def enrol(grid: Grid, nodes: list[int], config: RunConfig, dataset: FederatedDataset) -> Enrolment:
    """Ask every node who it is and pool the sites' moments.

    Raises FederationError when a site fails, gives a name twice, or has another schema.
    """
    profiles = _profiles(grid, nodes, config.round.round_timeout)
    directory, moments = _check(profiles, dataset)
    spans = feature_spans(dataset.feature_spec.names(dataset.schema), dataset.schema)
    ordered = [moments[site] for site in sorted(moments)]
    scaler = Scaler.from_sums(ChannelSums.pool(ordered), spans, config.data.clip)
    quality = {
        site: _quality(site, profiles[node], dataset.schema) for node, site in directory.items()
    }
    return Enrolment(directory, scaler, quality, _demand(directory, profiles))


def _profiles(grid: Grid, nodes: list[int], timeout: float) -> dict[int, RecordDict]:
    asked = RecordDict({"task": ConfigRecord({})})
    messages = [Message(content=asked, message_type=PROFILE, dst_node_id=node) for node in nodes]
    replies = {
        reply.metadata.src_node_id: reply
        for reply in grid.send_and_receive(messages, timeout=timeout)
    }
    silent = [node for node in nodes if node not in replies]
    failed = [r.error.reason for r in replies.values() if r.has_error()]
    if silent or failed:
        raise FederationError(
            f"{len(silent)} of {len(nodes)} sites did not answer and {len(failed)} failed before "
            f"round 1; first reason: {(failed or ['no reply in time'])[0]}"
        )
    return {node: reply.content for node, reply in replies.items()}


def _check(
    profiles: Mapping[int, RecordDict], dataset: FederatedDataset
) -> tuple[dict[int, str], dict[str, ChannelSums]]:
    directory: dict[int, str] = {}
    moments: dict[str, ChannelSums] = {}
    for node, content in profiles.items():
        site, schema = _identity(node, content)
        if site in moments:
            raise FederationError(f"two sites call themselves {site!r}; names must differ")
        if schema != dataset.schema.digest():
            raise FederationError(
                f"site {site!r} has schema {schema}, the server {dataset.schema.digest()} "
                f"({dataset.schema.name}); all sites must use the same schema"
            )
        directory[node] = site
        moments[site] = _moments(site, content)
    return directory, moments


def _identity(node: int, content: RecordDict) -> tuple[str, str]:
    try:
        identity = content.config_records["identity"]
        return str(identity["site"]), str(identity["schema"])
    except KeyError as error:
        raise FederationError(
            f"node {node} does not say who it is: {error} is missing in its profile; "
            "it must run the same version of this app"
        ) from error


def _moments(site: str, content: RecordDict) -> ChannelSums:
    try:
        arrays = to_arrays(content.array_records["arrays"])
        return ChannelSums(*(arrays[k].astype("float64") for k in ("n", "mean", "m2")))
    except (ReplyError, DataError, KeyError) as error:
        raise FederationError(f"site {site!r} sent unusable moments: {error}") from error


def _demand(
    directory: Mapping[int, str], profiles: Mapping[int, RecordDict]
) -> NDArray[np.float64] | None:
    """Pool the sites' demand sums, by site name; None where no site sends any."""
    pooled, sent = DemandSums.none(), False
    for node, site in sorted(directory.items(), key=lambda item: item[1]):
        arrays = to_arrays(profiles[node].array_records["arrays"])
        if "demand-count" in arrays:
            pooled, sent = pooled + _demand_sums(site, arrays), True
    return pooled.mean() if sent else None


def _demand_sums(site: str, arrays: Arrays) -> DemandSums:
    nothing = np.zeros(0)
    count, total = (
        arrays.get(f"demand-{part}", nothing).astype(np.float64) for part in ("count", "total")
    )
    wanted = DemandSums.none().count.shape
    sound = np.isfinite(count).all() and np.isfinite(total).all() and (count >= 0).all()
    if count.shape != wanted or total.shape != wanted or not sound:
        raise FederationError(
            f"site {site!r} sent unusable sums of its demands; expected counts and totals of shape "
            f"{wanted}, districts by hours of the week"
        )
    return DemandSums(count, total)


def _quality(site: str, content: RecordDict, schema: Schema) -> dict[str, dict[str, float]]:
    metrics = content.metric_records.get("metrics", MetricRecord())
    shares: dict[str, list[float]] = {}
    for name in ("missing", "frozen", "removed"):
        values = metrics.get(name)
        if (
            not isinstance(values, list)
            or len(values) != len(schema.names)
            or not all(0.0 <= value <= 1.0 for value in values)
        ):
            raise FederationError(
                f"site {site!r} sent no share of {name} readings for each of its "
                f"{len(schema.names)} channels"
            )
        shares[name] = [float(value) for value in values]
    return {
        channel: {name: values[i] for name, values in shares.items()}
        for i, channel in enumerate(schema.names)
    }
