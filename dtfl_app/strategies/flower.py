"""Flower's own strategies, and others written for Flower, as methods: ``pkg.module:FedYogi``.

Which sites are asked, which replies count and what is kept is ours; what the replies become is
theirs. Two hooks of ``flwr.serverapp.strategy.Strategy`` are called, and nothing else of Flower's:
`configure_train`, for what the strategy notes of the model and tells sites, and `aggregate_train`.
"""

from __future__ import annotations

import dataclasses
import gc
import inspect
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

import numpy as np
from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, FederationError
from dtfl_app.core.logs import log
from dtfl_app.core.settings import Value, setting, to_mapping
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.training import ProximalTerm
from dtfl_app.messages.wire import Arrays, to_arrays, to_record
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.rounds.workbench import Workbench
from dtfl_app.strategies.flower_memory import recall, remember

__all__ = ["FlowerMethod", "as_method"]

# What a run says in keys of its own (round.fraction, round.quorum), and names of records.
_OURS = frozenset(
    {"fraction_train", "fraction_evaluate", "min_train_nodes", "min_evaluate_nodes"}
    | {"min_available_nodes", "weighted_by_key", "arrayrecord_key", "configrecord_key"}
    | {"train_loss_key"}
)
# A model of two sites, to see before a run begins what a strategy makes of one.
_TINY = {"weight": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}


def as_method(found: type[Strategy]) -> type[DTFLStrategy]:
    """Wrap a strategy class that knows only Flower; return one that is a method.

    Raises ConfigError for a class whose constructor needs what no option can say.
    """
    return found if issubclass(found, DTFLStrategy) else _wrapped(found)


class FlowerMethod(DTFLStrategy):
    """A strategy of Flower's, made anew in every round from what `State.memory` holds of it.

    A reply's weight, from trust and `round.weighting`, is what Flower calls its examples.
    """

    theirs: ClassVar[type[Strategy]]
    needs_twin = False

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        super().__init__(name, settings, bench)
        for option, value in to_mapping(settings).items():
            if isinstance(value, float) and math.isnan(value):
                raise self._refused(f"needs {option}; give it as strategy-options='{option}=0.1'")
        if (rule := bench.config.trust.aggregation) != "mean":
            raise self._refused(
                f"aggregates by a rule of its own, beside which trust.aggregation = {rule!r} would "
                'have no effect; leave it at "mean"'
            )
        self._ask(self._made({}), 1, _TINY)
        if (keys := _unequal(bench.config)) and not self._weighs():
            log.warning("%s: takes no account of weights, so %s makes no difference", name, keys)

    def site_extras(self) -> tuple[Arrays, dict[str, Value]]:
        """Tell the sites mu, where the strategy is Flower's FedProx or one like it."""
        told = self._ask(self._made(self.state.memory), self.server_round, self.state.model)
        mu = told.get("proximal-mu")
        return {}, to_mapping(ProximalTerm(float(mu))) if isinstance(mu, int | float) else {}

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Let the strategy aggregate; the model stays where it makes none of these replies."""
        theirs = self._made(state.memory)
        self._ask(theirs, self.server_round, state.model)
        told = [(reply.params, reply.loss) for reply in replies]
        messages = _messages(told, self.weights(replies))
        try:
            with _calmly(logging.WARNING):
                record, _ = theirs.aggregate_train(self.server_round, messages)
        except AppExitException as error:
            raise FederationError(
                f"{self.name}, round {self.server_round}: cannot aggregate {len(replies)} replies: "
                f"{error}"
            ) from error
        if record is None:
            self.note_rule(
                f"it makes no model of {len(replies)} replies; the model stays as it was"
            )
        before: Arrays = {**state.model}
        arrays = before if record is None else to_arrays(record)
        try:
            memory = remember(theirs, self._made({}), [before, arrays])
        except ValueError as error:
            raise self._refused(str(error)) from error
        return State(self._model(arrays, state.model), memory=memory)

    def _made(self, memory: Arrays) -> Strategy:
        """Make the strategy as it was when `memory` was all that it remembered."""
        options = dataclasses.asdict(self.settings)  # type: ignore[call-overload] # `_settings_of`
        try:
            with _calmly():
                theirs: Strategy = self.theirs(**options)
        except (ValueError, TypeError) as error:
            raise self._refused(f"does not take these strategy-options: {error}") from error
        recall(theirs, memory)
        return theirs

    def _ask(self, theirs: Strategy, server_round: int, model: Params) -> ConfigRecord:
        """Let the strategy prepare a round; return what it would tell every site.

        Raises ConfigError where it would do what only its own loop and sites can.
        """
        minimum = (getattr(theirs, f"min_{n}_nodes", 0) for n in ("available", "train"))
        grid = _Sites(max(2, len(self.bench.nodes), *minimum))
        record, same = to_record(model), [to_record(model)]
        try:
            with _calmly():
                tasks = list(theirs.configure_train(server_round, record, ConfigRecord(), grid))
        except Exception as error:  # whatever a strategy of somebody's raises on our model
            raise self._refused(f"cannot prepare a round of this model: {error}") from error
        asked, known = {task.metadata.dst_node_id for task in tasks}, grid.get_node_ids()
        if asked != set(known):
            raise self._refused(
                f"asks {len(asked)} of {len(known)} sites; here round.fraction says how many"
            )
        if any(list(task.content.array_records.values()) != same for task in tasks):
            raise self._refused("sends sites other arrays than the model, which ours do not read")
        return self._told(tasks)

    def _told(self, tasks: Sequence[Message]) -> ConfigRecord:
        told = [config for task in tasks for config in task.content.config_records.values()]
        strange = {key for config in told for key in config} - {"server-round", "proximal-mu"}
        if strange or any(config != told[0] for config in told):
            what = ", ".join(sorted(strange)) or "different things"
            raise self._refused(f"tells its sites {what}, which ours do not read")
        return told[0] if told else ConfigRecord()

    def _weighs(self) -> bool:
        """Tell whether two small replies give another model when one of them weighs more."""
        other = {key: value + 1 for key, value in _TINY.items()}
        ends = []
        for weight in (1.0, 3.0):
            theirs = self._made({})
            self._ask(theirs, 1, _TINY)
            replies = _messages([(_TINY, 1.0), (other, 1.0)], [1.0, weight])
            try:
                with _calmly():
                    ends.append(theirs.aggregate_train(1, replies)[0])
            except Exception:  # whatever it raises on two: with more replies it may well weigh
                return True
        return ends[0] != ends[1]

    def _model(self, arrays: Arrays, before: Params) -> Params:
        """Take the new model; Flower's arithmetic may end in float64, which no site sends back."""
        shapes, wanted = ({k: a.shape for k, a in each.items()} for each in (arrays, before))
        if shapes != wanted:
            raise FederationError(f"{self.name}: made arrays {shapes}; expected {wanted}")
        return {key: arrays[key].astype(np.float32) for key in before}

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(f"run config: strategy {self.name!r} {why}")


def _unequal(config: RunConfig) -> str:
    """Name the settings by which replies may weigh differently; "" for none."""
    found = {
        "round.weighting": config.round.weighting == "examples",
        "round.late": config.round.late == "discount",
        "trust.witness": config.trust.witness == "weigh",
    }
    return ", ".join(key for key, differs in found.items() if differs)


@contextmanager
def _calmly(level: int = logging.ERROR) -> Iterator[None]:
    """Keep what Flower would log below `level`: it speaks of sites that it did not choose.

    And let it find little garbage to collect: QFedAvg and Bulyan do so after every single array,
    which takes a quarter of a second each time in a process with torch.
    """
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(level)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        logger.setLevel(before)


def _messages(replies: Sequence[tuple[Params, float]], weights: Sequence[float]) -> list[Message]:
    """Write replies, each its layers and its loss, as Flower's strategies read them."""
    contents = [
        RecordDict(
            {
                "arrays": to_record(params),
                "metrics": MetricRecord({"num-examples": weight, "train_loss": loss}),
            }
        )
        for (params, loss), weight in zip(replies, weights, strict=True)
    ]
    return [Message(content, 0, MessageType.TRAIN) for content in contents]


class _Sites(Grid):
    """So many sites, all of them there; nothing is sent to any."""

    def __init__(self, count: int) -> None:
        self._count = count

    def get_node_ids(self) -> list[int]:
        return list(range(1, self._count + 1))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("a strategy sends nothing itself")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("a strategy receives nothing itself")

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        raise NotImplementedError("a strategy sends nothing itself")

    def create_message(self, *args: object, **kwargs: object) -> Message:
        raise NotImplementedError("a strategy sends nothing itself")

    def set_run(self, run: object) -> None:
        raise NotImplementedError("a strategy sets no run")

    @property
    def run(self) -> Any:  # noqa: ANN401 - there is none
        raise NotImplementedError("a strategy asks for no run")


@cache
def _wrapped(theirs: type[Strategy]) -> type[FlowerMethod]:
    name = theirs.__name__
    if inspect.isabstract(theirs):
        raise ConfigError(
            f"run config: strategy {theirs.__module__}:{name} is abstract; name a class that "
            "aggregates"
        )
    return type(name, (FlowerMethod,), {"theirs": theirs, "Settings": _settings_of(theirs)})


def _settings_of(theirs: type[Strategy]) -> type:
    """Options are what the constructor takes as a number, text or truth value.

    A number that has no default begins as NaN, which no option can be.
    """
    fields: list[tuple[str, type, Any]] = []
    for given in inspect.signature(theirs).parameters.values():
        default = given.default
        if given.kind in (given.VAR_POSITIONAL, given.VAR_KEYWORD) or given.name in _OURS:
            continue
        if default is given.empty and given.annotation in (float, "float"):
            default = math.nan
        if default is given.empty:
            raise ConfigError(
                f"run config: strategy {theirs.__module__}:{theirs.__name__} needs {given.name!r} "
                "to be made, which no option can say; make it in a subclass, and name that"
            )
        if type(default) in (bool, int, float, str):
            doc = f"{theirs.__name__}: {given.name}"
            fields.append((given.name, type(default), setting(default, doc)))
    return dataclasses.make_dataclass(f"{theirs.__name__}Settings", fields, frozen=True)
