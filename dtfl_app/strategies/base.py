"""The Flower strategy that all methods share: rounds, sampling, admission, telemetry.

A method subclasses `DTFLStrategy` and says in `update` what the server does with the admitted
replies; the hooks `prepare`, `upload_keys`, `kept_keys` and `site_extras` are there for the few
methods that need them.

One message per site and round: a site scores its calibration rows with the model it receives and
replies with those scores' sketch and the trained layers together. The threshold of the model of
round t is therefore known when round t + 1 is in, and a closing query settles the last one.
"""

from __future__ import annotations

import math
import time
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from dtfl_app.config import RunConfig
from dtfl_app.detector.calibration import Calibration, Sketch
from dtfl_app.detector.evidence import evidence_floors, evidence_kinds
from dtfl_app.detector.metrics import Metrics
from dtfl_app.detector.models import Params, as_params
from dtfl_app.errors import ConfigError, FederationError, ReplyError
from dtfl_app.logs import log
from dtfl_app.results.lines import RoundLine
from dtfl_app.settings import Value, to_mapping
from dtfl_app.strategies.admission import Reply, admit_sketches
from dtfl_app.strategies.parameters import weighted_mean
from dtfl_app.strategies.signals import site_score
from dtfl_app.strategies.transport import Load, Order, Transport
from dtfl_app.strategies.twin_trainer import TwinTrainer
from dtfl_app.wire import Arrays, prefixed, to_arrays, to_record

__all__ = ["DTFLStrategy", "NoSettings", "State", "Workbench"]


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Settings of a method that has none of its own."""


@dataclass(frozen=True, slots=True)
class State:
    """What the server carries from round to round.

    Parameters
    ----------
    model : parameters the sites start the next round from; also what is evaluated.
    twin : parameters of the twin's own copy, for methods that keep one.
    """

    model: Params
    twin: Params | None = None


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every method works with besides its own settings.

    Parameters
    ----------
    config : the run's settings.
    directory : node id -> site name.
    scaler : the agreed scaling, as arrays the sites keep.
    twin : trainer on twin data; None without a twin.
    evaluate : judges parameters with a calibration; None without an evaluation set.
    record : takes each finished line.
    physics : what else the sites agreed on for physical evidence, as arrays they keep.
    """

    config: RunConfig
    directory: Mapping[int, str]
    scaler: Arrays
    twin: TwinTrainer | None
    evaluate: Callable[[Params, Calibration], Metrics] | None
    record: Callable[[RoundLine], None]
    physics: Arrays = field(default_factory=dict)


class DTFLStrategy(Strategy):
    """Base of all methods: everything about a round but the update rule.

    Parameters
    ----------
    name : what the run calls this method.
    settings : an instance of the class's `Settings`.
    bench : what the run provides.

    After `start`, `state.model` is the last model and `calibration` its scores of normal operation.

    Raises
    ------
    ConfigError : the method needs a twin and the run has none.
    """

    Settings: ClassVar[type] = NoSettings
    needs_twin: ClassVar[bool] = True

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        if self.needs_twin and bench.twin is None:
            raise ConfigError(
                f"strategy {name!r} needs a digital twin and this run has none; "
                "set twin to other than 'none' or use strategy \"fedavg\""
            )
        self.name = name
        self.settings = settings
        self.bench = bench
        self.state = State(model={})
        kinds = evidence_kinds(bench.config.detector.evidence)
        self.calibration = Calibration(evidence_floors(kinds), {})
        self._transport = Transport(bench.config.wire, name, len(kinds))
        self._line = RoundLine(name, 0)
        self._replies: list[Reply] = []

    # --- what a method may override ---------------------------------------------------------

    @abstractmethod
    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Return the next state from the admitted replies, sorted by site name, at least one."""

    def prepare(self, state: State) -> State:
        """Return the state to begin with; called once before round 1."""
        return state

    def upload_keys(self, server_round: int) -> list[str]:
        """Parameter keys that sites return in this round; default: all."""
        return list(self.state.model)

    def kept_keys(self) -> list[str]:
        """Parameter keys that sites keep between rounds, so unchanged ones need not travel."""
        return []

    def site_extras(self) -> tuple[Arrays, dict[str, Value]]:
        """Arrays the sites keep for the whole run, and settings for their training."""
        return {}, {}

    # --- for methods to use -----------------------------------------------------------------

    @property
    def twin(self) -> TwinTrainer:
        """The trainer on twin data; only methods with `needs_twin` may ask."""
        assert self.bench.twin is not None
        return self.bench.twin

    def mean(self, replies: Sequence[Reply]) -> Params:
        """Aggregate the replies: unweighted as in the paper, or by examples (`weighting`)."""
        by_examples = self.bench.config.round.weighting == "examples"
        weights = [float(r.examples) for r in replies] if by_examples else None
        return weighted_mean([r.params for r in replies], weights)

    # --- Flower's strategy interface ----------------------------------------------------------

    def summary(self) -> None:
        """Log the method and its settings."""
        run = self.bench.config.run
        settings = ", ".join(f"{k}={v}" for k, v in to_mapping(self.settings).items())
        log.info("%s: %s", self.name, settings or "no settings of its own")
        log.info(
            "%s: %d rounds, %d sites, target balanced accuracy %.2f",
            self.name, run.rounds, len(self.bench.directory), run.target,
        )  # fmt: skip

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Build one training task per sampled site."""
        upload, load = self.upload_keys(server_round), self._load()
        settings = {**config, **self.site_extras()[1]}
        self._transport.begin_round()
        return [
            self._transport.task(node, Order(site, server_round, upload, settings), load)
            for node, site in self._sample(server_round)
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Admit the replies, update the state and account for the round."""
        admitted, asked = self._transport.admit(replies), self._transport.asked
        if not admitted:
            raise FederationError(
                f"round {server_round}: none of {asked} sites gave a usable reply; "
                "the reasons are in the log above"
            )
        if self.bench.twin is not None:
            self.bench.twin.begin_round(server_round)
        self._replies = admitted
        twin_loss = self._twin_loss(admitted)
        self.state = self.update(self.state, admitted)
        self._line = replace(
            self._line,
            sites=len(admitted),
            refused=asked - len(admitted),
            loss=float(np.average([r.loss for r in admitted])),
            twin_loss=twin_loss,
            bytes_up=sum(r.payload for r in admitted),
            bytes_down=self._transport.bytes_down,
            site_steps=sum(r.steps for r in admitted),
        )
        loss = MetricRecord({"loss": self._line.loss, "sites": len(admitted)})
        return to_record(self.state.model), loss

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send nothing: evaluation rides in the training reply."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Return nothing: evaluation rides in the training reply."""
        return None

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the rounds; parameters as in Flower's `Strategy.start`.

        `evaluate_config` and `evaluate_fn` are not used: sites evaluate while they train, and the
        workbench holds the server's evaluation.
        """
        result = Result()
        self.summary()
        self.state = self.prepare(State(model=as_params(to_arrays(initial_arrays))))
        previous = self._count_server_steps(self._line, steps_before=0)
        for server_round in range(1, num_rounds + 1):
            model = self.state.model
            result.arrays = to_record(model)
            self._play_round(server_round, grid, timeout, train_config or ConfigRecord())
            sketches = {reply.site: reply.sketches for reply in self._replies}
            finished = self._settle(previous, model, sketches, result)
            previous = self._line
            if self.bench.config.run.stop_at_target and self._reached(finished):
                log.info("%s: target reached after %d rounds", self.name, finished.round)
                self.state = replace(self.state, model=model)
                return result
        result.arrays = to_record(self.state.model)
        self._settle(previous, self.state.model, self._query_sketches(grid, timeout), result)
        return result

    # --- the inside of a round ----------------------------------------------------------------

    def _play_round(
        self, server_round: int, grid: Grid, timeout: float, config: ConfigRecord
    ) -> None:
        started = time.perf_counter()
        steps_before = self.bench.twin.steps_done if self.bench.twin else 0
        self._line = RoundLine(self.name, server_round)
        tasks = self.configure_train(server_round, to_record(self.state.model), config, grid)
        self.aggregate_train(server_round, grid.send_and_receive(tasks, timeout=timeout))
        self._line = replace(
            self._count_server_steps(self._line, steps_before),
            seconds=time.perf_counter() - started,
        )

    def _count_server_steps(self, line: RoundLine, steps_before: int) -> RoundLine:
        done = self.bench.twin.steps_done if self.bench.twin else 0
        return replace(line, server_steps=done - steps_before)

    def _sample(self, server_round: int) -> list[tuple[int, str]]:
        """Draw this round's (node, site) pairs by site name, so node ids do not matter."""
        sites = sorted((site, node) for node, site in self.bench.directory.items())
        run = self.bench.config.run
        count = max(1, round(self.bench.config.round.fraction * len(sites)))
        rng = np.random.default_rng([run.seed, zlib.crc32(b"sampling"), server_round])
        chosen = sorted(rng.choice(len(sites), count, replace=False))
        return [(sites[i][1], sites[i][0]) for i in chosen]

    def _twin_loss(self, replies: Sequence[Reply]) -> float:
        """Loss on twin data of the mean of the replies; layers not uploaded are the model's."""
        if self.bench.twin is None:
            return math.nan
        return self.bench.twin.loss({**self.state.model, **self.mean(replies)})

    def _load(self) -> Load:
        extras, _ = self.site_extras()
        agreed = {
            **prefixed("scaler", self.bench.scaler),
            **prefixed("physics", self.bench.physics),
        }
        return Load(self.state.model, self.kept_keys(), {**agreed, **extras})

    def _query_sketches(self, grid: Grid, timeout: float) -> dict[str, tuple[Sketch, ...]]:
        """Ask all sites for the calibration scores of the final model."""
        load = self._load()
        messages = [
            self._transport.query(node, Order(site, self._line.round, []), load)
            for node, site in sorted(self.bench.directory.items(), key=lambda item: item[1])
        ]
        sketches: dict[str, tuple[Sketch, ...]] = {}
        for reply in grid.send_and_receive(messages, timeout=timeout):
            site = self.bench.directory[reply.metadata.src_node_id]
            try:
                sketches[site] = admit_sketches(reply, self.calibration.kinds)
            except ReplyError as error:
                log.warning("site %s did not calibrate: %s", site, error)
        if not sketches:
            raise FederationError(
                f"none of {len(messages)} sites calibrated the last model, so it has no alarm "
                "threshold; the reasons are in the log above"
            )
        return sketches

    def _settle(
        self,
        line: RoundLine,
        model: Params,
        sketches: Mapping[str, tuple[Sketch, ...]],
        result: Result,
    ) -> RoundLine:
        """Evaluate a model whose calibration scores are in, and record its line."""
        self.calibration = replace(self.calibration, sites=sketches)
        line = replace(line, site_score=site_score(self.calibration.sketches(0)))
        if not any(sketch.count for site in sketches.values() for sketch in site):
            log.warning(
                "%s: no site has normal calibration rows, so nothing can raise an alarm", self.name
            )
        if self.bench.evaluate is not None:
            metrics = self.bench.evaluate(model, self.calibration)
            line = replace(line, metrics=metrics)
            result.evaluate_metrics_serverapp[line.round] = MetricRecord(metrics.as_dict())  # type: ignore[arg-type] # floats and ints
        result.train_metrics_clientapp[line.round] = MetricRecord({"loss": line.loss})
        self.bench.record(line)
        return line

    def _reached(self, line: RoundLine) -> bool:
        target = self.bench.config.run.target
        return line.metrics is not None and line.metrics.balanced_accuracy >= target
