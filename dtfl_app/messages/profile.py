"""Who a site is: the question that every node is asked first, and a site's profile, its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError, ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.core.naming import SITE_NAME, is_site_name
from dtfl_app.messages.calibration import EXAMPLES_LIMIT
from dtfl_app.messages.declaration import (
    IDENTITY,
    SITE,
    ArraySpec,
    Declaration,
    MetricSpec,
    Records,
    pack_reply,
    require_answer,
)
from dtfl_app.messages.payload import read_arrays
from dtfl_app.messages.wire import Arrays
from dtfl_app.sites.quality import QualityReport
from dtfl_app.sites.scaling import ChannelSums
from twin.ctown.residuals import DemandSums
from twin.schema import Schema

__all__ = ["PROFILE", "DemandRange", "Profile", "profile_query", "shares_of", "site_name"]

PROFILE = "query.profile"

Floats = NDArray[np.float64]
DemandRange = Callable[[str], Floats]

_SCHEMA = "schema"
_MOMENTS = ("n", "mean", "m2")
_DEMAND_COUNT, _DEMAND_TOTAL = "demand-count", "demand-total"
_SHARES = ("missing", "frozen", "removed")


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What a site says of itself before round 1.

    Parameters
    ----------
    site : the site's name.
    schema : digest of the schema that its data has.
    moments : of its normal rows, per feature.
    quality : channel -> shares of readings "missing", "frozen" and "removed", in [0, 1].
    demand : sums of its demands; None where no evidence needs them.
    """

    site: str
    schema: str
    moments: ChannelSums
    quality: Mapping[str, Mapping[str, float]]
    demand: DemandSums | None = None

    @staticmethod
    def declaration(features: int, channels: int, with_demand: bool) -> Declaration:
        """Declare the answer to the enrolment query.

        Parameters
        ----------
        features : number of features, each with its count, mean and sum of squared deviations.
        channels : number of sensors, each with three shares of unusable readings.
        with_demand : sums of demands by district and hour of the week are needed as evidence.
        """
        arrays = dict.fromkeys(_MOMENTS, ArraySpec("float64", (features,)))
        if with_demand:
            sums = ArraySpec("float64", DemandSums.none().count.shape)
            arrays |= {_DEMAND_COUNT: sums, _DEMAND_TOTAL: sums}
        return Declaration(
            arrays=arrays,
            metrics=dict.fromkeys(_SHARES, MetricSpec(float, (channels,))),
            identity={SITE: str, _SCHEMA: str},
        )

    def pack(self, query: Message) -> Message:
        """Build the reply to a query."""
        arrays: Arrays = {name: getattr(self.moments, name) for name in _MOMENTS}
        if self.demand is not None:
            arrays |= {_DEMAND_COUNT: self.demand.count, _DEMAND_TOTAL: self.demand.total}
        shares = {name: [float(of[name]) for of in self.quality.values()] for name in _SHARES}
        return pack_reply(query, {**shares}, arrays, {SITE: self.site, _SCHEMA: self.schema})

    @classmethod
    def unpack(
        cls, message: Message, schema: Schema, ranges: Floats, demands: DemandRange | None = None
    ) -> Profile:
        """Read a node's answer, or raise ReplyError that says what cannot be used.

        Parameters
        ----------
        schema : the server's, which the site's must be.
        ranges : least and greatest value of each feature, shape (2, d).
        demands : site -> least and greatest demand of its districts in L/s, shape (2, 5); None
            where no demand is asked for.
        """
        site = site_name(message, schema)
        declared = cls.declaration(ranges.shape[1], len(schema.names), demands is not None)
        try:
            records = Records.of(message.content, declared)
            arrays = read_arrays(records.arrays, declared.arrays or {})
            moments = ChannelSums(*(arrays[name].astype(np.float64) for name in _MOMENTS))
            moments.require_possible(ranges, EXAMPLES_LIMIT)
            demand = None if demands is None else _read_demand(arrays, demands(site))
        except (ReplyError, DataError) as error:
            raise ReplyError(f"site {quoted(site)} sent an unusable profile: {error}") from error
        quality = _read_quality(site, records.metrics, schema)
        return cls(site, schema.digest(), moments, quality, demand)


def profile_query(node: int) -> Message:
    """Ask a node who it is."""
    content = RecordDict({"query": ConfigRecord({})})
    return Message(content=content, message_type=PROFILE, dst_node_id=node)


def site_name(message: Message, schema: Schema) -> str:
    """Read from a profile which site its node stands for, or raise ReplyError."""
    require_answer(message)
    try:
        identity = message.content.config_records[IDENTITY]
        site, digest = (str(identity[entry]) for entry in (SITE, _SCHEMA))
    except KeyError as error:
        raise ReplyError(
            f"it does not say who it is: {error} is missing in its profile; it must run the same "
            "version of this app"
        ) from error
    if not is_site_name(site):
        raise ReplyError(f"it calls itself {quoted(site)}; expected {SITE_NAME}")
    if digest != schema.digest():
        raise ReplyError(
            f"site {quoted(site)} has schema {quoted(digest)}, the server {schema.digest()} "
            f"({schema.name}); all sites must use the same schema: its name, its period, and each "
            "channel's name, unit, kind and range, in this order"
        )
    return site


def shares_of(report: QualityReport) -> dict[str, dict[str, float]]:
    """Channel -> shares of its readings, those that a profile tells."""
    return {of.channel: {name: getattr(of, name) for name in _SHARES} for of in report.channels}


def _read_demand(arrays: Arrays, limits: Floats) -> DemandSums:
    count, total = (arrays[name].astype(np.float64) for name in (_DEMAND_COUNT, _DEMAND_TOTAL))
    if not ((count >= 0) & (count <= EXAMPLES_LIMIT) & (count == np.floor(count))).all():
        raise ReplyError(
            f"its demands are of impossible counts; expected whole numbers up to {EXAMPLES_LIMIT}"
        )
    # Sums of float32 readings: rounding may put one outside by as little as this.
    slack = 1e-6 * np.abs(limits).max(axis=0)
    least, most = (ends[:, None] for ends in (limits[0] - slack, limits[1] + slack))
    if not ((total >= least * count) & (total <= most * count)).all():
        raise ReplyError(
            "the sums of its demands are impossible; expected for each district what flows and "
            "levels within their ranges can amount to"
        )
    return DemandSums(count, total)


def _read_quality(site: str, metrics: MetricRecord, schema: Schema) -> dict[str, dict[str, float]]:
    shares: dict[str, list[float]] = {}
    for name in _SHARES:
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
