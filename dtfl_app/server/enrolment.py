"""Before round 1: who takes part, do their schemas agree, and what is the common scaling."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError, FederationError, ReplyError
from dtfl_app.core.logs import one_line, quoted
from dtfl_app.inputs.preparation import scaler_from_arrays, scaler_to_arrays
from dtfl_app.messages.egress import profile_reply
from dtfl_app.messages.payload import read_arrays
from dtfl_app.messages.wire import Arrays
from dtfl_app.rounds.pending import PendingReplies
from dtfl_app.rounds.signals import mean_shift
from dtfl_app.rounds.state import Agreement
from dtfl_app.rounds.transport import profile_query
from dtfl_app.sites.features import feature_spans
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.scaling import ChannelSums, Scaler
from twin.ctown.residuals import DemandSums
from twin.schema import Schema

__all__ = ["Enrolment", "await_nodes", "enrol", "site_name"]


# Seconds: a site that answers for the first time may have to start a process and read its files.
_COLD_START = 120.0


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
    left_out : node -> why it does not take part.
    shift : how far the median site's channel means lie from the pooled ones (`mean_shift`).
    unread : features that no site has a single reading of.
    """

    directory: Mapping[int, str]
    scaler: Scaler
    quality: Mapping[str, Mapping[str, Mapping[str, float]]]
    demand: NDArray[np.float64] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    shift: float = 0.0
    unread: tuple[str, ...] = ()

    @property
    def agreement(self) -> Agreement:
        """What the sites agreed on, as a run keeps it."""
        return Agreement(
            sites=sorted(self.directory.values()),
            scaler=scaler_to_arrays(self.scaler),
            physics={} if self.demand is None else {"demand": self.demand},
            unread=self.unread,
        )

    def restore(self, agreement: Agreement) -> Enrolment:
        """Take part in a run that was agreed on before, by its sites and with its scaling.

        A site that is missing now stands under a node number that nobody has, until it returns.
        """
        sites, demand = agreement.sites, agreement.physics.get("demand")
        known = {node: site for node, site in self.directory.items() if site in sites}
        missing = sorted(set(sites) - set(known.values()))
        absent = {-1 - place: site for place, site in enumerate(missing)}
        return replace(
            self,
            directory={**known, **absent},
            scaler=scaler_from_arrays(agreement.scaler),
            demand=None if demand is None else demand.astype(np.float64),
            unread=tuple(agreement.unread),
        )

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

    A site that fails, does not answer, or whose profile cannot be used is left out and named in
    `left_out`. Raises FederationError when fewer than the quorum are left, or when two nodes give
    the same name.
    """
    names = dataset.feature_spec.names(dataset.schema)
    pending = PendingReplies(grid)
    patience = max(config.round.round_timeout, _COLD_START)
    answers = pending.exchange([profile_query(node) for node in nodes], patience)
    left_out = {f"node {node}": reason for node, reason in answers.lost.items()}
    left_out |= {f"node {node}": "no reply in time" for node in pending.busy}
    profiles: dict[int, _Profile] = {}
    for message in answers.replies:
        node = message.metadata.src_node_id
        try:
            profiles[node] = _Profile.read(message, dataset.schema, len(names))
        except ReplyError as error:
            left_out[f"node {node}"] = str(error)
    needed = config.round.needed(len(nodes))
    if len(profiles) < needed:
        raise FederationError(
            f"{len(left_out)} of {len(nodes)} sites cannot take part and {needed} are needed; "
            f"first reason: {next(iter(left_out.values()))}"
        )
    ordered = sorted(profiles.values(), key=lambda profile: profile.site)
    for one, other in pairwise(ordered):
        if one.site == other.site:
            raise FederationError(f"two sites call themselves {one.site!r}; names must differ")
    spans = feature_spans(names, dataset.schema)
    pooled = ChannelSums.pool([profile.moments for profile in ordered])
    scaler = Scaler.from_sums(pooled, spans, config.data.clip)
    return Enrolment(
        directory={node: profile.site for node, profile in profiles.items()},
        scaler=scaler,
        quality={profile.site: profile.quality for profile in ordered},
        demand=_pooled_demand([p.demand for p in ordered if p.demand is not None]),
        left_out=left_out,
        shift=statistics.median(_shift(profile.moments, scaler) for profile in ordered),
        unread=tuple(name for name, n in zip(names, pooled.n, strict=True) if n == 0),
    )


def site_name(message: Message, schema: Schema) -> str:
    """Read from a profile which site its node stands for, or raise ReplyError."""
    if message.has_error():
        raise ReplyError(one_line(f"site failed: {message.error.reason}"))
    try:
        identity = message.content.config_records["identity"]
        site, digest = str(identity["site"]), str(identity["schema"])
    except KeyError as error:
        raise ReplyError(
            f"it does not say who it is: {error} is missing in its profile; it must run the same "
            "version of this app"
        ) from error
    if digest != schema.digest():
        raise ReplyError(
            f"site {quoted(site)} has schema {quoted(digest)}, the server {schema.digest()} "
            f"({schema.name}); all sites must use the same schema: its name, its period, and each "
            "channel's name, unit, kind and range, in this order"
        )
    return site


@dataclass(frozen=True, slots=True, eq=False)
class _Profile:
    """What a site says of itself before round 1."""

    site: str
    moments: ChannelSums
    quality: dict[str, dict[str, float]]
    demand: DemandSums | None

    @classmethod
    def read(cls, message: Message, schema: Schema, width: int) -> _Profile:
        """Check a profile reply on `width` features; ReplyError says what cannot be used."""
        site, content = site_name(message, schema), message.content
        try:
            record = content.array_records["arrays"]
            with_demand = "demand-count" in record
            declared = profile_reply(width, len(schema.names), with_demand).arrays or {}
            arrays = read_arrays(record, declared)
            moments = ChannelSums(*(arrays[k].astype("float64") for k in ("n", "mean", "m2")))
        except (ReplyError, DataError, KeyError) as error:
            raise ReplyError(f"site {quoted(site)} sent unusable moments: {error}") from error
        quality = _quality(site, content, schema)
        demand = _demand_sums(site, arrays) if with_demand else None
        return cls(site, moments, quality, demand)


def _shift(moments: ChannelSums, scaler: Scaler) -> float:
    """Shift of a site's means; a channel without a reading counts as unmoved."""
    means = np.where(moments.n > 0, moments.mean, np.nan)
    return mean_shift(scaler.transform(means[None, :]))


def _pooled_demand(sums: list[DemandSums]) -> NDArray[np.float64] | None:
    """Mean demand over all sites' sums; None where no site sends any."""
    pooled = DemandSums.none()
    for one in sums:
        pooled = pooled + one
    return pooled.mean() if sums else None


def _demand_sums(site: str, arrays: Arrays) -> DemandSums:
    count, total = (arrays[f"demand-{part}"].astype(np.float64) for part in ("count", "total"))
    if not (np.isfinite(count).all() and np.isfinite(total).all() and (count >= 0).all()):
        raise ReplyError(
            f"site {quoted(site)} sent unusable sums of its demands; expected finite counts and "
            "totals, and no count below 0"
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
            raise ReplyError(
                f"site {quoted(site)} sent no share of {name} readings for each of its "
                f"{len(schema.names)} channels"
            )
        shares[name] = [float(value) for value in values]
    return {
        channel: {name: values[i] for name, values in shares.items()}
        for i, channel in enumerate(schema.names)
    }
