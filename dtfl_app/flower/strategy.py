"""What the methods have in common in somebody else's Flower app: a FedAvg that has a twin."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from dtfl_app.core.errors import FederationError, ReplyError, TwinError
from dtfl_app.core.logs import log
from dtfl_app.core.settings import Value, fields_of, read_settings
from dtfl_app.flower.torch_twin import TorchTwin, own_words
from dtfl_app.messages.declaration import is_finite, listed
from dtfl_app.messages.wire import to_arrays
from dtfl_app.rounds.parameters import Arrays, weighted_mean

__all__ = ["SiteReply", "TwinStrategy", "to_record"]


@dataclass(frozen=True, slots=True, eq=False)
class SiteReply:
    """One site's reply, of which all is known to be usable.

    Parameters
    ----------
    params : the wanted arrays, of the names, shapes and dtypes that were sent.
    weight : its number of examples, or what else `weighted_by_key` names, > 0.
    metrics : what else it measured.
    """

    params: Arrays
    weight: float
    metrics: MetricRecord


class TwinStrategy(FedAvg):
    """FedAvg whose replies a method turns into the next model with the twin's help.

    Parameters
    ----------
    twin : what takes steps on the twin's data.
    options : fields of the class's `Settings`, and arguments of Flower's FedAvg.

    A reply whose arrays are not those sent out, or not finite, or whose weight is not above 0, is
    left out with a warning. Replies are summed in an order that depends on their content alone, so
    results do not depend on who answered first, nor on node ids.

    Raises ConfigError for a setting out of its range, TwinError (see `TorchTwin`), FederationError
    when sites answered and no reply is of use.
    """

    Settings: ClassVar[type]

    def __init__(self, twin: TorchTwin, **options: Any) -> None:  # noqa: ANN401 - of several types
        names = {field.name: key for key, field in fields_of(self.Settings).items()}
        own = {names[name]: options.pop(name) for name in list(options) if name in names}
        with own_words(type(self).__name__):
            self.settings: Any = read_settings(self.Settings, own)
        super().__init__(**options)
        self.twin = twin
        self.model: Arrays = {}

    # --- what a method may override ---------------------------------------------------------

    @abstractmethod
    def update(self, replies: Sequence[SiteReply]) -> Arrays:
        """Return the next model from the replies, at least one; `self.model` was sent out."""

    def prepare(self) -> None:
        """Begin with `self.model`, the initial one."""

    def wanted_keys(self) -> list[str]:
        """Arrays that a reply must have; others are left out."""
        return list(self.model)

    def site_config(self) -> dict[str, Value | list[str]]:
        """What sites are told in the ConfigRecord of a training task."""
        return {}

    # --- Flower's own hooks -----------------------------------------------------------------

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note the model that is sent out, and tell the sites what the method has to tell."""
        first = server_round == 1 or not self.model
        self.model = to_arrays(arrays)
        self.twin.begin_round(server_round)
        if first:
            self.twin.require_model(self.model)
            with own_words(type(self).__name__):
                self.prepare()
        for key, value in self.site_config().items():
            config[key] = value
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the method make the next model of the replies that can be used."""
        answers = list(replies)
        usable = self._usable(server_round, [m for m in answers if not m.has_error()])
        failed = [message for message in answers if message.has_error()]
        # Flower's own step checks the metrics, logs failures and averages what sites measured.
        plain, metrics = super().aggregate_train(server_round, [*failed, *usable])
        if plain is None:
            return None, None
        model = self.update(list(usable.values()))
        for key, value in model.items():
            if not np.isfinite(value).all():
                raise TwinError(
                    f"{type(self).__name__}: array {key!r} is not finite after the update of round "
                    f"{server_round}; lower the step size or take fewer steps"
                )
        return to_record(model), metrics

    def mean(self, replies: Sequence[SiteReply], factors: Sequence[float] | None = None) -> Arrays:
        """Average the replies by their weights, times their entries of `factors`."""
        weights = [reply.weight for reply in replies]
        if factors is not None:
            weights = [w * f for w, f in zip(weights, factors, strict=True)]
        return weighted_mean([reply.params for reply in replies], weights)

    def _usable(self, server_round: int, answers: list[Message]) -> dict[Message, SiteReply]:
        """Message -> its reply, in the order of their contents; FederationError if none is."""
        found: list[tuple[str, Message, SiteReply]] = []
        reasons: list[str] = []
        for message in answers:
            try:
                reply = self._read(message)
            except ReplyError as error:
                node = message.metadata.src_node_id
                reasons.append(f"node {node}: {error}")
                log.warning(f"round {server_round}: reply left out, {reasons[-1]}")
            else:
                found.append((_digest(reply), message, reply))
        if reasons and not found:
            raise FederationError(
                f"round {server_round}: none of {len(answers)} replies can be used; {reasons[0]}"
            )
        return {message: reply for _, message, reply in sorted(found, key=lambda entry: entry[0])}

    def _read(self, message: Message) -> SiteReply:
        content = message.content
        if (len(content.array_records), len(content.metric_records)) != (1, 1):
            raise ReplyError("expected one ArrayRecord and one MetricRecord")
        ((name, record),) = content.array_records.items()
        (metrics,) = content.metric_records.values()
        weight = metrics.get(self.weighted_by_key)
        if not is_finite(weight) or weight <= 0:  # type: ignore[operator] # a number, as checked
            raise ReplyError(f"metric {self.weighted_by_key!r} is {weight}, expected above 0")
        wanted = self.wanted_keys()
        if missing := set(wanted) - set(record):
            raise ReplyError(f"arrays are missing: {listed(missing)}")
        if unknown := set(record) - set(self.model):
            raise ReplyError(f"arrays were not sent out: {listed(unknown)}")
        content[name] = ArrayRecord({key: record[key] for key in wanted})
        params = to_arrays(content.array_records[name])
        for key, value in params.items():
            _require(key, value, self.model[key])
        return SiteReply(params, float(weight), metrics)  # type: ignore[arg-type] # as above


def to_record(arrays: Arrays) -> ArrayRecord:
    """Pack arrays, those without a dimension too."""
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()})


def _require(key: str, value: np.ndarray[Any, Any], sent: np.ndarray[Any, Any]) -> None:
    if (value.dtype, value.shape) != (sent.dtype, sent.shape):
        raise ReplyError(
            f"array {key!r} is {value.dtype} {value.shape}, expected {sent.dtype} {sent.shape}"
        )
    if not np.isfinite(value).all():
        raise ReplyError(f"array {key!r} holds values that are not finite")


def _digest(reply: SiteReply) -> str:
    content = hashlib.sha256(repr(reply.weight).encode())
    for value in reply.params.values():
        content.update(np.ascontiguousarray(value).tobytes())
    return content.hexdigest()
