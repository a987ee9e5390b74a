"""The Flower strategy that all methods share: rounds, sampling, admission, trust, checkpoints.

A method subclasses `DTFLStrategy` and says in `update` what the server does with the admitted
replies; the hooks `prepare`, `upload_keys`, `kept_keys` and `site_extras` are there for the few
methods that need them.

One message per site and round: a site scores its calibration rows with the model it receives and
replies with those scores' sketch and the trained layers together. The threshold of the model of
round t is therefore known when round t + 1 is in, and a closing query settles the last one.
"""

from __future__ import annotations

import logging
import math
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import evidence_floors, evidence_kinds
from dtfl_app.core.logs import log, tell
from dtfl_app.core.settings import Value, to_mapping
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.models import Params, as_params
from dtfl_app.messages.admission import Reply, usable
from dtfl_app.messages.wire import Arrays, prefixed, to_arrays, to_record, with_prefix
from dtfl_app.results.events import RunEvent
from dtfl_app.results.lines import RoundLine
from dtfl_app.rounds.aggregation import aggregate, shortfall
from dtfl_app.rounds.directory import NodeDirectory
from dtfl_app.rounds.loop import RoundLoop
from dtfl_app.rounds.screen import ReplyScreen
from dtfl_app.rounds.state import (
    NoSettings,
    Snapshot,
    State,
    Workbench,
    read_state,
    write_state,
)
from dtfl_app.rounds.transport import SharedPayload, SiteRequest, Transport
from dtfl_app.rounds.twin_guard import TwinGuard, watched_rounds
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.rounds.witness import witness_losses

__all__ = ["DTFLStrategy", "NoSettings", "Snapshot", "State", "Workbench"]


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
    ConfigError : the method needs a twin and the run has none, though its data set does.
    """

    Settings: ClassVar[type] = NoSettings
    needs_twin: ClassVar[bool] = True

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        if self.needs_twin and bench.twin is None and not bench.twinless:
            raise ConfigError(
                f"strategy {name!r} needs a digital twin and this run has none; "
                "set twin to other than 'none' or use strategy \"fedavg\""
            )
        self.name = name
        self.settings = settings
        self.bench = bench
        self.state = State(model={})
        self.server_round = 0
        config = bench.config
        kinds = evidence_kinds(config.detector.evidence)
        self.calibration = Calibration(evidence_floors(kinds), {})
        self.roster = NodeDirectory(bench.directory)
        self.transport = Transport(config.wire, name, len(kinds), bench.run)
        self._jury = ReplyScreen(config.trust)
        self._guard = TwinGuard(
            config.trust.twin_limit,
            config.trust.twin_strikes,
            watched_rounds(config.detector.model, noisy=config.privacy.dp),
            present=bench.twin is not None,
        )
        self._resumed: Snapshot | None = None
        self._lacking: str | None = None

    # --- what a method may override ---------------------------------------------------------

    @abstractmethod
    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Return the next state from the admitted replies, sorted by site name, at least one."""

    def prepare(self, state: State) -> State:
        """Return the state to begin with; called once before round 1, not after a resume."""
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

    def mean(self, replies: Sequence[Reply], factors: Sequence[float] | None = None) -> Params:
        """Aggregate the replies by the run's rule (`aggregation`), by default their mean.

        A reply weighs what trust in it leaves, times its examples where `weighting` says so, times
        its entry of `factors`, >= 0.
        """
        by_examples = self.bench.config.round.weighting == "examples"
        weights = [r.weight * (float(r.examples) if by_examples else 1.0) for r in replies]
        if factors is not None:
            weights = [w * f for w, f in zip(weights, factors, strict=True)]
        return aggregate([r.params for r in replies], weights, self.bench.config.trust)

    # --- Flower's strategy interface ----------------------------------------------------------

    def summary(self) -> None:
        """Log the method and its settings."""
        run, trust = self.bench.config.run, self.bench.config.trust
        settings = ", ".join(f"{k}={v}" for k, v in to_mapping(self.settings).items())
        log.info("%s: %s", self.name, settings or "no settings of its own")
        log.info(
            "%s: %d rounds, %d sites, target balanced accuracy %.2f, aggregation %s, witness %s",
            self.name, run.rounds, len(self.roster.sites), run.target,
            trust.aggregation, trust.witness,
        )  # fmt: skip

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Build one training task for every site drawn whose node is connected."""
        drawn = [(self.roster.node(site), site) for site in self.draw(server_round)]
        due = [(node, site) for node, site in drawn if node is not None]
        return self.tasks(server_round, due, config)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Admit the replies, update the state and account for the round."""
        admission = self.transport.admit(replies)
        counting, _ = self.judge([reply for _, reply in admission.replies])
        line = self.advance(server_round, counting)
        loss = MetricRecord({"loss": line.loss, "sites": line.sites})
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
        """Run the rounds that are left; parameters as in Flower's `Strategy.start`.

        `evaluate_config` and `evaluate_fn` are not used: sites evaluate while they train, and the
        workbench holds the server's evaluation. After `resume`, nor is `initial_arrays`.

        Raises QuorumError, a FederationError, when a round stays below its quorum; a snapshot of
        the last finished round is saved before.
        """
        self.summary()
        course = RoundLoop(self, grid, timeout, train_config or ConfigRecord())
        if self._resumed is None:
            course.begin(as_params(to_arrays(initial_arrays)))
        else:
            course.go_on(self._resumed)
        return course.run(num_rounds)

    # --- what a round is made of --------------------------------------------------------------

    def begin(self, model: Params) -> None:
        """Take the first model; say so where the method has to do without its twin."""
        self.state = State(model=model)
        if self._twin_counts:
            self.state = self.prepare(self.state)
        else:
            reason = (
                "the sites' data has no twin, which this method needs; the run goes on as fedavg"
            )
            self.note(RunEvent("twin-off", reason=reason))

    def draw(self, server_round: int) -> list[str]:
        """Draw this round's sites by name, so node ids do not matter; sorted."""
        sites, config = self.roster.sites, self.bench.config
        count = max(1, round(config.round.fraction * len(sites)))
        rng = np.random.default_rng([config.run.seed, zlib.crc32(b"sampling"), server_round])
        return [sites[i] for i in sorted(rng.choice(len(sites), count, replace=False))]

    def tasks(
        self, server_round: int, due: Sequence[tuple[int, str]], config: ConfigRecord
    ) -> list[Message]:
        """Pack the training tasks of (node, site) pairs."""
        upload, load = self.wanted_keys(server_round), self._load()
        settings = {**config, **self._extras()[1]}
        if upload:
            self.bench.spend(self.name, [site for _, site in due])
        return [
            self.transport.task(node, SiteRequest(site, server_round, upload, settings), load)
            for node, site in due
        ]

    def queries(self, server_round: int, due: Sequence[tuple[int, str]]) -> list[Message]:
        """Pack the question for the current model's calibration scores."""
        load = self._load()
        return [
            self.transport.query(node, SiteRequest(site, server_round, []), load)
            for node, site in due
        ]

    def wanted_keys(self, server_round: int) -> list[str]:
        """Keys that sites return; all of them once the twin is no longer used."""
        return self.upload_keys(server_round) if self._twin_counts else list(self.state.model)

    def judge(self, replies: Sequence[Reply]) -> tuple[list[Reply], dict[str, str]]:
        """Hold replies against each other and the twin; return those that count, and reasons."""
        witness = self.bench.twin if self._guard.trusted else None
        return self._jury.hear(replies, self.state.model, witness)

    def advance(self, server_round: int, replies: Sequence[Reply], missing: int = 0) -> RoundLine:
        """Go to the next state; return what the round took.

        Parameters
        ----------
        server_round : the round.
        replies : those that count, by site name, at least one.
        missing : sites drawn without such a reply.
        """
        if self.bench.twin is not None:
            self.bench.twin.begin_round(server_round)
        self.server_round = server_round
        # Layers that were not uploaded are the model's.
        plain = {**self.state.model, **self.mean(replies)}
        self._watch_twin(replies)
        twin_loss = self.bench.twin.loss(plain) if self.bench.twin else math.nan
        self._say_shortfall(len(replies))
        self.state = self._next_state(replies, plain)
        return RoundLine(
            self.name,
            server_round,
            sites=len(replies),
            refused=missing,
            loss=float(np.mean([r.loss for r in replies])),
            twin_loss=twin_loss,
            bytes_up=sum(r.payload for r in replies),
            bytes_down=self.transport.bytes_down,
            site_steps=sum(r.steps for r in replies),
        )

    def note(self, event: RunEvent) -> None:
        """Tell an event in the log and hand it to the run."""
        event = replace(event, strategy=self.name)
        tell(logging.WARNING, event.describe(), event.entries())
        self.bench.note(event)

    def resume(self, snapshot: Snapshot) -> None:
        """Take up a snapshot; `start` then goes on after its round."""
        self._resumed, self.state = snapshot, read_state(snapshot)
        self._jury = ReplyScreen(self.bench.config.trust, snapshot.notes["norms"])
        self._guard.recall(snapshot.notes["guard"])
        nodes = {site: node for node, site in self.bench.directory.items()}
        bases = with_prefix("bases", snapshot.arrays)
        self.transport.recall(nodes, snapshot.notes["held"], bases)

    def snapshot(self, server_round: int) -> Snapshot:
        """Everything that the rounds after `server_round` depend on."""
        held, bases = self.transport.memory(self.roster.directory)
        arrays = {**write_state(self.state), **prefixed("bases", bases)}
        notes = {"held": held, "norms": self._jury.history, "guard": self._guard.memory()}
        return Snapshot(self.name, server_round, arrays, notes)

    # --- the inside of a round ----------------------------------------------------------------

    @property
    def _uses_twin(self) -> bool:
        return self.needs_twin or self.bench.config.trust.witness != "off"

    @property
    def _twin_counts(self) -> bool:
        return self._guard.trusted or not self.needs_twin

    def _watch_twin(self, replies: Sequence[Reply]) -> None:
        """Give the twin up where the replies show that it is unlike the sites."""
        twin = self.bench.twin
        if twin is None or not self._uses_twin or not self._guard.watches(self.server_round):
            return
        told = witness_losses(replies, self.state.model, twin)
        if why := self._guard.check_losses([r.loss for r in replies], list(told.values())):
            self.note(RunEvent("twin-off", round=self.server_round, reason=why))

    def _say_shortfall(self, replies: int) -> None:
        """Say when the aggregation rule begins to lack replies, and what stands in for it."""
        lacking = shortfall(replies, self.bench.config.trust)
        if lacking and lacking != self._lacking:
            self.note(RunEvent("rule", round=self.server_round, reason=lacking))
        self._lacking = lacking

    def _next_state(self, replies: Sequence[Reply], plain: Params) -> State:
        """Update by the method's rule; go on with `plain` where the twin is of no use."""
        if not self._twin_counts:
            return replace(self.state, model=plain)
        state = self.update(self.state, replies)
        if usable(state.model) and usable(state.twin or {}):
            self._guard.healthy()
            return state
        reason = "the twin's step gave values that are not finite or too large; aggregate kept"
        self.note(RunEvent("twin-diverged", round=self.server_round, reason=reason))
        if gone := self._guard.diverged():
            self.note(RunEvent("twin-off", round=self.server_round, reason=gone))
        return replace(self.state, model=plain)

    def _extras(self) -> tuple[Arrays, dict[str, Value]]:
        return self.site_extras() if self._twin_counts else ({}, {})

    def _load(self) -> SharedPayload:
        agreed = {
            **prefixed("scaler", self.bench.scaler),
            **prefixed("physics", self.bench.physics),
        }
        kept = self.kept_keys() if self._twin_counts else []
        return SharedPayload(self.state.model, kept, {**agreed, **self._extras()[0]})
