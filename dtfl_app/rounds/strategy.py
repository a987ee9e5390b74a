"""The Flower strategy that all methods share: sampling, admission, trust, and what a round took.

A method subclasses `DTFLStrategy` and overrides hooks of its first half, `Method`. The second half,
here, is what Flower calls: `configure_train` and `aggregate_train`, in a run by `RoundLoop`, which
lives with faults, and by Flower's own `start` alike.

One message per site and round: a site scores its calibration rows with the model it receives and
replies with those scores' sketch and the trained layers together. The threshold of the model of
round t is therefore known when round t + 1 is in, and a closing query settles the last one.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from dtfl_app.core.evidence import evidence_floors, evidence_kinds
from dtfl_app.core.logs import log, tell
from dtfl_app.core.settings import to_mapping
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.models import find_detector
from dtfl_app.detector.params import Params, as_params
from dtfl_app.detector.samples import Judged
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.payload import usable
from dtfl_app.messages.wire import EXTRA, Arrays, to_arrays, to_record
from dtfl_app.results.lines import RoundLine
from dtfl_app.results.run_events import RunEvent
from dtfl_app.results.saved_models import OwnLayers
from dtfl_app.rounds.aggregation import shortfall
from dtfl_app.rounds.directory import NodeDirectory
from dtfl_app.rounds.method import Method
from dtfl_app.rounds.parameters import blend
from dtfl_app.rounds.replies import RoundReplies
from dtfl_app.rounds.screen import ReplyScreen
from dtfl_app.rounds.site_half import SiteHalf
from dtfl_app.rounds.state import Snapshot, State
from dtfl_app.rounds.transport import SharedPayload, SiteRequest, Transport
from dtfl_app.rounds.twin_guard import TwinGuard, watched_rounds
from dtfl_app.rounds.versions import SiteVersions
from dtfl_app.rounds.witness import witness_losses
from dtfl_app.rounds.workbench import Workbench

__all__ = ["DTFLStrategy", "State"]


class DTFLStrategy(Method, Strategy):
    """Base of all methods: everything about a round but the update rule; parameters as `Method`.

    `state.model` is the model, `calibration` its scores of normal operation where a `RoundLoop`
    asked for them, `judged` those of labelled rows where sites have layers of their own, `line`
    what the last round took, and `replies` what sites said in this one.
    """

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        super().__init__(name, settings, bench)
        config = bench.config
        kinds = evidence_kinds(config.detector.evidence)
        trim, own = config.detector.calibration_trim, config.detector.thresholds == "site"
        self.calibration = Calibration(evidence_floors(kinds), {}, trim, own)
        self.judged: Mapping[str, Judged] = {}
        self.directory = NodeDirectory(bench.nodes)
        self.transport = Transport(config.wire, name, len(kinds), bench.run)
        self.versions = SiteVersions(name)
        self.line = RoundLine(name, 0)
        self._screen = ReplyScreen(config.trust)
        self._guard = TwinGuard(
            config.trust.twin_limit,
            config.trust.twin_strikes,
            watched_rounds(find_detector(config.detector.model), noisy=config.privacy.dp),
            present=bench.twin is not None and self.twin_weight > 0,
        )
        self.replies = self._no_replies([])
        self._open = False
        self._packed: dict[int, int] = {}
        self._lacking: str | None = None

    # --- Flower's strategy interface ----------------------------------------------------------

    def summary(self) -> None:
        """Log the method and its settings."""
        run, trust = self.bench.config.run, self.bench.config.trust
        settings = ", ".join(f"{k}={v}" for k, v in to_mapping(self.settings).items())
        log.info("%s: %s", self.name, settings or "no settings of its own")
        log.info(
            "%s: %d rounds, %d sites, target balanced accuracy %.2f, aggregation %s, witness %s",
            self.name, run.rounds, len(self.directory.sites), run.target,
            trust.aggregation, trust.witness,
        )  # fmt: skip

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Build one training task for every site drawn that can be asked now.

        A round may be asked for several times, each time for the sites that are still missing; the
        model is that of the first time. An override may add to `config`, and leave messages out.
        """
        if not self._open:
            self._begin_round(server_round, as_params(to_arrays(arrays)))
        due = self.directory.due(self.draw(server_round))
        half = self._site_half()
        upload, load = self._wanted_keys(), self._load(half.arrays)
        if upload and due:
            # Before anything is sent, and for those an override leaves out as well: the account of
            # privacy may say too much, but never too little.
            for callback in self.bench.callbacks:
                callback.on_tasks(self.name, [site for _, site in due])
        return [
            self._task(node, self._request(site, upload, half, config), load) for node, site in due
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Update the state from the replies that count, and account for the round in `line`.

        Nothing is returned where none counts: the model then stays as it is.
        """
        counting = self.replies.counting(replies)
        self._open = False
        self.line = RoundLine(self.name, server_round, bytes_down=self.transport.bytes_down)
        if not counting:
            return None, None
        self._advance(counting)
        figures = MetricRecord({"loss": self.line.loss, "sites": self.line.sites})
        return to_record(self.state.model), figures

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

    # --- what a loop uses besides -------------------------------------------------------------

    @property
    def server_steps(self) -> int:
        """The twin's optimiser steps so far."""
        return self.bench.twin.steps_done if self.bench.twin else 0

    def begin(self, model: Params) -> None:
        """Take the first model; say so where the method has to do without its twin."""
        self.state = State(model=model)
        if self._twin_counts:
            self.state = self.prepare(self.state)
        else:
            none = "the sites' data has no twin, which this method needs"
            why = "twin.weight is 0" if self.bench.twin else none
            self.note(RunEvent("twin-off", reason=f"{why}; the run goes on as fedavg"))

    def adopt(self, model: Params) -> None:
        """Go on from this model, whatever the last update made of it."""
        self.state = replace(self.state, model=model)

    def draw(self, server_round: int) -> list[str]:
        """Draw this round's sites by name, so node ids do not matter; sorted."""
        sites, config = self.directory.sites, self.bench.config
        count = max(1, round(config.round.fraction * len(sites)))
        rng = np.random.default_rng([config.run.seed, zlib.crc32(b"sampling"), server_round])
        return [sites[i] for i in sorted(rng.choice(len(sites), count, replace=False))]

    def withdraw_all_but(self, sent: Collection[int]) -> None:
        """Take back the tasks just built for other nodes than these: they were not sent."""
        for node in self._packed.keys() - set(sent):
            self.transport.disown(node)
            self.transport.bytes_down -= self._packed[node]
        self._packed.clear()

    def queries(self, server_round: int) -> list[Message]:
        """Pack the question for the model's calibration scores, for all that can be asked now."""
        # Nobody trains any more: what a method's site half reads stays where it is.
        half, due = self._site_half(), self.directory.due(self.directory.sites)
        load = self._load({n: a for n, a in half.arrays.items() if not n.startswith(f"{EXTRA}/")})
        own = {site: self.versions.of(site) if half.state else None for _, site in due}
        return [
            self.transport.query(
                node,
                SiteRequest(site, server_round, [], {}, own[site], personal=half.personal),
                load,
            )
            for node, site in due
        ]

    def note(self, event: RunEvent) -> None:
        """Tell an event in the log and hand it to the run."""
        event = replace(event, strategy=self.name)
        tell(logging.WARNING, event.describe(), event.entries())
        for callback in self.bench.callbacks:
            callback.on_event(event)

    def own_layers(self) -> OwnLayers | None:
        """Which layers sites have of their own, and the versions that go with `state.model`."""
        if not self.has_personal_keys():
            return None
        now = {site: self.versions.of(site).start for site in self.versions.now()}
        return OwnLayers(tuple(self.personal_keys()), now)

    def snapshot(self, line: RoundLine) -> Snapshot:
        """Everything that the rounds after that of `line` depend on; sites keep their part."""
        held, bases = self.transport.state(self.directory.nodes)
        return Snapshot(
            line=line,
            server_steps=self.server_steps,
            state=self.state,
            norms=self._screen.state(),
            extra_norms=self._screen.extras_state(),
            guard=self._guard.state(),
            held=held,
            bases=bases,
            agreement=self.bench.agreement,
            versions=self.versions.save() if self._site_half().state else [],
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot."""
        self.state = snapshot.state
        self._screen.restore(snapshot.norms, snapshot.extra_norms)
        self._guard.restore(snapshot.guard)
        self.versions.restore(snapshot.versions)
        nodes = {site: node for node, site in self.directory.nodes.items()}
        self.transport.restore(nodes, snapshot.held, snapshot.bases)
        if self.bench.twin is not None:
            self.bench.twin.steps_done = snapshot.server_steps

    def note_rule(self, reason: str) -> None:
        """Tell that this round's replies did not become a model in the way that was asked for."""
        self.note(RunEvent("rule", round=self.server_round, reason=reason))

    # --- the inside of a round ----------------------------------------------------------------

    @property
    def _uses_twin(self) -> bool:
        return self.needs_twin or self.bench.config.trust.witness != "off"

    @property
    def _twin_counts(self) -> bool:
        return self._guard.trusted or not self.needs_twin

    @property
    def _twin_share(self) -> float:
        """How much of the method's own step counts, in [0, 1]."""
        return self.twin_weight if self.needs_twin else 1.0

    def _begin_round(self, server_round: int, model: Params) -> None:
        if self.state.model:
            self.adopt(model)
        else:
            self.begin(model)
        self.server_round = server_round
        self.transport.begin_round()
        self.replies = self._no_replies(self._wanted_keys())
        self._open = True

    def _no_replies(self, upload: Sequence[str]) -> RoundReplies:
        settings = self.bench.config.round
        return RoundReplies(
            self.server_round, upload, settings, self.transport, self._screened, self.note
        )

    def _screened(self, replies: Sequence[Reply]) -> tuple[list[Reply], dict[str, str]]:
        """Hold replies against each other and the twin; return those that count, and reasons."""
        witness = self.bench.twin if self._guard.trusted else None
        return self._screen.screen(replies, self.state.model, witness)

    def _wanted_keys(self) -> list[str]:
        """Keys that sites return: all but their own where not the twin alone decides on any."""
        if self._twin_counts and self._twin_share == 1:
            return self.upload_keys(self.server_round)
        personal = set(self.personal_keys())
        return [key for key in self.state.model if key not in personal]

    def _site_half(self) -> SiteHalf:
        return SiteHalf.of(self) if self._twin_counts else SiteHalf.without_twin(self)

    def _request(
        self, site: str, upload: Sequence[str], half: SiteHalf, config: Mapping[str, Any]
    ) -> SiteRequest:
        own = self.versions.of(site, self.server_round) if half.state else None
        settings = {**config, **half.settings}
        return SiteRequest(
            site,
            self.server_round,
            upload,
            settings,
            own,
            half.rule,
            half.upload,
            half.personal,
        )

    def _task(self, node: int, request: SiteRequest, load: SharedPayload) -> Message:
        before = self.transport.bytes_down
        task = self.transport.task(node, request, load)
        self._packed[node] = self.transport.bytes_down - before
        return task

    def _advance(self, replies: Sequence[Reply]) -> None:
        """Go to the next state; replies are those that count, by site name, at least one."""
        if self.bench.twin is not None:
            self.bench.twin.begin_round(self.server_round)
        # Layers that were not uploaded are the model's.
        plain = {**self.state.model, **self.mean(replies)}
        self._watch_twin(replies)
        # A model without its sites' own layers is none that a loss would tell of.
        twin = None if self.has_personal_keys() else self.bench.twin
        twin_loss = twin.loss(plain) if twin else math.nan
        self._say_shortfall(len(replies))
        self.state = self._next_state(replies, plain)
        self.line = replace(
            self.line,
            sites=len(replies),
            loss=float(np.mean([r.loss for r in replies])),
            twin_loss=twin_loss,
            bytes_up=sum(r.payload for r in replies),
            site_steps=sum(r.steps for r in replies),
        )

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
            self.note_rule(lacking)
        self._lacking = lacking

    def _next_state(self, replies: Sequence[Reply], plain: Params) -> State:
        """Update by the method's rule; go on with `plain` where the twin is of no use.

        Of a twin that counts for w, ``Theta^(t+1) = w Theta_method + (1 - w) Theta_plain``.
        """
        if not self._twin_counts:
            return self._plain_state(replies, plain)
        state = self.update(self.state, replies)
        if usable(state.model) and usable(state.twin or {}):
            self._guard.healthy()
            self.versions.count(replies)
            share = self._twin_share
            return state if share == 1 else replace(state, model=blend(state.model, plain, share))
        reason = "the twin's step gave values that are not finite or too large; aggregate kept"
        self.note(RunEvent("twin-diverged", round=self.server_round, reason=reason))
        if gone := self._guard.diverged():
            self.note(RunEvent("twin-off", round=self.server_round, reason=gone))
        return self._plain_state(replies, plain)

    def _plain_state(self, replies: Sequence[Reply], plain: Params) -> State:
        """The state that goes on with the aggregate, beside which stand sites' own layers."""
        if self.has_personal_keys():
            self.versions.count(replies)
        return replace(self.state, model=plain)

    def _load(self, extras: Arrays) -> SharedPayload:
        kept = [*(self.kept_keys() if self._twin_counts else []), *self.personal_keys()]
        agreement = self.bench.agreement
        arrays = {**agreement.to_send(), **extras}
        return SharedPayload(self.state.model, kept, arrays, agreement.to_send_to)
