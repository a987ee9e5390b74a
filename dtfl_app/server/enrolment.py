"""Before round 1: who takes part, do their schemas agree, and what is the common scaling."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, FederationError, ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.core.site_names import SiteNames
from dtfl_app.inputs.physics import SitePhysics
from dtfl_app.inputs.preparation import scaling_from_arrays, scaling_to_arrays
from dtfl_app.messages.profile import DemandRange, Profile, profile_query
from dtfl_app.rounds.pending import PendingReplies
from dtfl_app.rounds.signals import mean_shift
from dtfl_app.rounds.state import Agreement
from dtfl_app.rounds.twin_trust import moment_distance
from dtfl_app.server.fingerprints import of_site, require_same_data
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.scaling import MOST_WEIGHT, ChannelSums, Scaler, Scaling
from twin.ctown.residuals import DemandSums
from twin.schema import Schema

__all__ = ["Enrolment", "await_nodes", "enrol"]


_POOLINGS = {
    "mean": ChannelSums.pool,
    "bounded": ChannelSums.pool_bounded,
    "median": ChannelSums.pool_median,
}
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
    data : site -> fingerprint of its data.
    scalers : site -> standardisation by its own moments, where each is to have its own.
    moments : of all sites together, from which the scaling is taken.
    usual : how far a typical site's are from those, feature by feature (`moment_distance`).
    twin_weight : how much the twin counts, in [0, 1].
    """

    directory: Mapping[int, str]
    scaler: Scaler
    quality: Mapping[str, Mapping[str, Mapping[str, float]]]
    demand: NDArray[np.float64] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    shift: float = 0.0
    unread: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    scalers: Mapping[str, Scaler] = field(default_factory=dict)
    moments: ChannelSums | None = None
    usual: NDArray[np.float64] | None = None
    twin_weight: float = 1.0

    @property
    def scaling(self) -> Scaling:
        """Which standardisation is in force at which site."""
        return Scaling(self.scaler, self.scalers)

    @property
    def agreement(self) -> Agreement:
        """What the sites agreed on, as a run keeps it."""
        return Agreement(
            sites=sorted(self.directory.values()),
            scaler=scaling_to_arrays(self.scaling),
            physics={} if self.demand is None else {"demand": self.demand},
            unread=self.unread,
            data=self.data,
            twin_weight=self.twin_weight,
        )

    def restore(self, agreement: Agreement) -> Enrolment:
        """Take part in a run that was agreed on before, by its sites and with its scaling.

        A site that is missing now stands under a node number that nobody has, until it returns.
        Raises CheckpointError where a site has other data than it had.
        """
        require_same_data(agreement.data, self.data)
        scaling = scaling_from_arrays(agreement.scaler)
        sites, demand = agreement.sites, agreement.physics.get("demand")
        known = {node: site for node, site in self.directory.items() if site in sites}
        missing = sorted(set(sites) - set(known.values()))
        absent = {-1 - place: site for place, site in enumerate(missing)}
        return replace(
            self,
            directory={**known, **absent},
            scaler=scaling.pooled,
            scalers=scaling.own,
            demand=None if demand is None else demand.astype(np.float64),
            unread=tuple(agreement.unread),
            # Those of sites that are away, and of a run that began without fingerprints.
            data={**self.data, **agreement.data},
            twin_weight=agreement.twin_weight,
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
    wanted, deadline = config.run.sites, time.monotonic() + config.run.join_timeout
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


def enrol(
    grid: Grid,
    nodes: list[int],
    config: RunConfig,
    dataset: FederatedDataset,
    physics: SitePhysics | None = None,
) -> Enrolment:
    """Ask every node who it is and pool the sites' moments.

    A node that calls itself by another name than its key was registered with (`trust.names`), a
    site that fails, does not answer, or whose profile cannot be used is left out and named in
    `left_out`, and so are all nodes that give one name: nobody can tell whose it is. Where
    `physics` needs demands, every site is asked for theirs. Raises FederationError when fewer than
    the quorum are left.
    """
    schema, spec = dataset.schema, dataset.feature_spec
    ranges, demands = spec.ranges(schema), _demand_range(physics, schema)
    registered = SiteNames.of(config.trust.names)
    pending = PendingReplies(grid)
    patience = max(config.round.timeout, _COLD_START)
    answers = pending.exchange([profile_query(node) for node in nodes], patience)
    left_out = {f"node {node}": reason for node, reason in answers.lost.items()}
    left_out |= {f"node {node}": "no reply in time" for node in pending.busy}
    profiles: dict[int, Profile] = {}
    for message in answers.replies:
        node = message.metadata.src_node_id
        try:
            profile = Profile.unpack(message, schema, ranges, demands)
            registered.require(node, profile.site)
            profiles[node] = profile
        except ReplyError as error:
            left_out[f"node {node}"] = str(error)
    left_out |= _of_one_name(profiles)
    profiles = {node: p for node, p in profiles.items() if f"node {node}" not in left_out}
    needed = config.round.needed(len(nodes))
    if len(profiles) < needed:
        raise FederationError(
            f"{len(left_out)} of {len(nodes)} sites cannot take part and {needed} are needed; "
            f"first reason: {next(iter(left_out.values()))}"
        )
    ordered = sorted(profiles.values(), key=lambda profile: profile.site)
    noisy = config.privacy.moments
    pooled = _POOLINGS[config.data.pooling]([profile.moments for profile in ordered])
    scaler = Scaler.from_sums(pooled, spec.spans(schema), config.data.clip)
    scaling = Scaling(scaler)
    if config.data.scaling == "site":
        moments = {profile.site: profile.moments for profile in ordered}
        scaling = Scaling.by_site(scaler, moments, spec.spans(schema))
    return Enrolment(
        directory={node: profile.site for node, profile in profiles.items()},
        scaler=scaler,
        quality={profile.site: profile.quality for profile in ordered},
        demand=_pooled_demand([p.demand for p in ordered if p.demand is not None]),
        left_out=left_out,
        shift=statistics.median(_shift(profile.moments, scaler) for profile in ordered),
        moments=pooled,
        usual=np.median([_distance(p.moments, pooled, scaler) for p in ordered], axis=0),
        unread=tuple(name for name, n in zip(spec.names(schema), pooled.n, strict=True) if n == 0),
        data={profile.site: of_site(profile, noisy=noisy) for profile in ordered},
        scalers=scaling.own,
    )


def _of_one_name(profiles: Mapping[int, Profile]) -> dict[str, str]:
    """Node -> why it is left out, of the nodes that call themselves alike."""
    nodes: dict[str, list[int]] = {}
    for node, profile in profiles.items():
        nodes.setdefault(profile.site, []).append(node)
    return {
        f"node {node}": f"{len(alike)} nodes call themselves {quoted(site)}; names must differ"
        for site, alike in nodes.items()
        if len(alike) > 1
        for node in alike
    }


def _demand_range(physics: SitePhysics | None, schema: Schema) -> DemandRange | None:
    if physics is None or not physics.needs_demand:
        return None
    return lambda site: physics.demand_range(site, schema)


def _shift(moments: ChannelSums, scaler: Scaler) -> float:
    """Shift of a site's means; a channel without a reading counts as unmoved."""
    means = np.where(moments.n > 0, moments.mean, np.nan)
    return mean_shift(scaler.transform(means[None, :]))


def _distance(moments: ChannelSums, pooled: ChannelSums, scaler: Scaler) -> NDArray[np.float64]:
    """How far a site is from all together, feature by feature; 0 where it has no reading."""
    mean, variance = scaler.moments(moments)
    found = moment_distance(mean, variance, *scaler.moments(pooled))
    return np.where(moments.n > 0, found, 0.0)


def _pooled_demand(sums: list[DemandSums]) -> NDArray[np.float64] | None:
    """Mean demand over all sites' sums; None where no site sends any.

    In each district no site counts for more than `MOST_WEIGHT` times the hours of the median one.
    """
    if not sums:
        return None
    hours = np.stack([one.count.sum(axis=1) for one in sums])  # shape: (sites, districts)
    share = np.minimum(MOST_WEIGHT * np.median(hours, axis=0) / np.maximum(hours, 1.0), 1.0)
    pooled = DemandSums.none()
    for one, weight in zip(sums, share[:, :, None], strict=True):
        pooled = pooled + DemandSums(one.count * weight, one.total * weight)
    return pooled.mean()
