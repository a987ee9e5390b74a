"""The rounds of a strategy's run: one after another, evaluated, recorded and saved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from dtfl_app.core.errors import FederationError, ReplyError
from dtfl_app.core.logs import log
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.judging import judge_samples
from dtfl_app.detector.params import Params, as_params
from dtfl_app.detector.samples import Judged
from dtfl_app.messages.admission import admit_calibration
from dtfl_app.messages.calibration import CalibrationReply
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.results.lines import RoundLine
from dtfl_app.results.run_events import RunEvent
from dtfl_app.rounds.collector import QuorumError, RoundCollector
from dtfl_app.rounds.pending import PendingReplies
from dtfl_app.rounds.signals import site_score
from dtfl_app.rounds.state import Snapshot
from dtfl_app.rounds.strategy import DTFLStrategy

__all__ = ["RoundLoop"]

# Deadlines after which a site that owes an answer is asked again; by then a simulation has replaced
# a worker that hangs.
_PATIENCE = 3.0

# What Flower's own loop calls besides: here sites evaluate while they train.
_NOT_CALLED = ("start", "configure_evaluate", "aggregate_evaluate")


@dataclass(frozen=True, slots=True)
class _Scores:
    """What sites said of a model.

    Parameters
    ----------
    sketches : site -> its scores of normal operation, per kind of evidence.
    judged : site -> its scores of labelled rows, where it alone has the model whole.
    versions : site -> version of its own arrays that went into these scores.
    """

    sketches: Mapping[str, tuple[Sketch, ...]]
    judged: Mapping[str, Judged] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)


class RoundLoop:
    """Leads one strategy to its last model, as Flower's `Strategy.start` does, through faults.

    It calls the same two hooks, `configure_train` and `aggregate_train`. Besides, a round has a
    quorum and is repeated below it, late replies are found, every model gets its threshold, and the
    run can be resumed.

    Parameters
    ----------
    strategy : what is run.
    grid : Flower's way to the nodes.
    timeout : seconds after which a round closes with the replies it has.
    settings : further entries of every training task's config.
    """

    def __init__(
        self,
        strategy: DTFLStrategy,
        grid: Grid,
        timeout: float,
        settings: ConfigRecord | None = None,
    ) -> None:
        self._strategy = strategy
        self._bench = strategy.bench
        self._grid = grid
        self._timeout = timeout
        self._settings = settings or ConfigRecord()
        self._collector = RoundCollector(strategy, PendingReplies(grid, _PATIENCE * timeout))
        # Of the round before: it is recorded once its model is evaluated.
        self._line = RoundLine(strategy.name, 0)
        self._saved = -1
        self._result = Result()

    def run(self, start: Params | Snapshot, rounds: int) -> Result:
        """Play the rounds up to number `rounds`, from the first model or after a snapshot.

        Raises QuorumError, a FederationError, when a round stays below its quorum; a snapshot of
        the last finished round is saved before.
        """
        strategy, result = self._strategy, self._result
        strategy.summary()
        self._say_not_called()
        self._begin(start)
        for server_round in range(self._line.round + 1, rounds + 1):
            previous = self._line
            model, scores = self._play(server_round)
            finished = self._settle(previous, model, scores)
            if self._bench.config.run.stop_at_target and self._reached(finished):
                log.info("%s: target reached after %d rounds", strategy.name, finished.round)
                strategy.adopt(model)
                strategy.versions.go_back(scores.versions)
                result.arrays = to_record(model)
                return result
            self._save_if_due()
        result.arrays = to_record(strategy.state.model)
        self._settle(self._line, strategy.state.model, self._closing_scores())
        return result

    def _say_not_called(self) -> None:
        """Warn of overrides that have no effect here."""
        cls = type(self._strategy)
        mine = [n for n in _NOT_CALLED if getattr(cls, n) is not getattr(DTFLStrategy, n)]
        if mine:
            log.warning(
                "%s: %s overrides %s, which only Flower's own loop calls; this one calls "
                "configure_train and aggregate_train (docs/your-strategy.md)",
                self._strategy.name, cls.__name__, ", ".join(mine),
            )  # fmt: skip

    def _begin(self, start: Params | Snapshot) -> None:
        if isinstance(start, Snapshot):
            self._strategy.restore(start)
            self._line, self._saved = start.line, start.round
            return
        self._strategy.begin(start)
        # A warm start's are among them.
        self._line = replace(self._line, server_steps=self._strategy.server_steps)
        self._save_if_due()

    def _play(self, server_round: int) -> tuple[Params, _Scores]:
        """Play a round; return the model that it began with and its scores."""
        strategy = self._strategy
        started, steps_before = time.perf_counter(), strategy.server_steps
        arrays = to_record(strategy.state.model)
        drawn = self._collect(server_round, arrays)
        model, sketches = strategy.state.model, strategy.replies.sketches()
        scores = _Scores(sketches, strategy.replies.judged(), strategy.versions.now())
        messages = strategy.replies.messages()
        changed, figures = strategy.aggregate_train(server_round, messages)
        strategy.adopt(as_params(to_arrays(arrays if changed is None else changed)))
        if figures is not None:
            self._result.train_metrics_clientapp[server_round] = figures
        left_out = len(messages) - strategy.line.sites
        self._line = replace(
            strategy.line,
            refused=len(drawn) - len(sketches) + left_out,
            server_steps=strategy.server_steps - steps_before,
            seconds=time.perf_counter() - started,
        )
        return model, scores

    def _collect(self, server_round: int, arrays: ArrayRecord) -> set[str]:
        """Let the strategy ask the sites; return those that were drawn."""
        strategy = self._strategy
        try:
            drawn = self._collector.collect(
                server_round,
                lambda: strategy.configure_train(server_round, arrays, self._settings, self._grid),
                self._timeout,
            )
        except QuorumError as error:
            self._save()
            raise QuorumError(f"{error}. The run ends here; {self._way_on()}") from error
        if again := strategy.transport.bytes_again:
            reason = "after the resume, to sites whose own state may be gone; not counted"
            strategy.note(RunEvent("sent-again", "", server_round, "", reason, {"bytes": again}))
        return drawn

    def _closing_scores(self) -> _Scores:
        """Ask all sites that can be reached for the scores of the final model."""
        strategy, last = self._strategy, self._line.round
        replies = self._collector.query(last, lambda: strategy.queries(last), self._timeout)
        found: dict[str, CalibrationReply] = {}
        kinds, own = strategy.calibration.kinds, strategy.has_personal_keys()
        for reply in replies:
            site = strategy.directory.site(reply.metadata.src_node_id)
            try:
                found[site] = admit_calibration(reply, kinds, judged=own)
            except ReplyError as error:
                reason = f"did not calibrate the last model: {error}"
                strategy.note(RunEvent("refused", round=last, site=site, reason=reason))
        if not found:
            self._save()
            raise FederationError(
                f"none of {len(strategy.directory.sites)} sites calibrated the last model, so it "
                f"has no alarm threshold; the reasons are in the log above. {self._way_on()}"
            )
        return _Scores(
            {site: said.sketches for site, said in found.items()},
            {site: said.judged for site, said in found.items() if said.judged},
        )

    def _settle(self, line: RoundLine, model: Params, scores: _Scores) -> RoundLine:
        """Hand over a model whose calibration scores are in; return its line with its figures."""
        strategy, sketches = self._strategy, scores.sketches
        strategy.calibration = replace(strategy.calibration, sites=sketches)
        strategy.judged = scores.judged
        if strategy.has_personal_keys():
            alpha = self._bench.config.detector.false_alarm_rate
            found = judge_samples(scores.judged, strategy.calibration, alpha)
            line = replace(line, metrics=found)
        line = replace(line, site_score=site_score(strategy.calibration.sketches(0)))
        if not any(sketch.count for site in sketches.values() for sketch in site):
            log.warning(
                "%s: no site has normal calibration rows, so nothing can raise an alarm",
                strategy.name,
            )
        for callback in self._bench.callbacks:
            line = callback.on_round_end(line, model, strategy.calibration)
        if line.metrics is not None:
            figures = MetricRecord(line.metrics.as_dict())  # type: ignore[arg-type] # floats, ints
            self._result.evaluate_metrics_serverapp[line.round] = figures
        return line

    def _reached(self, line: RoundLine) -> bool:
        target = self._bench.config.run.target
        return line.metrics is not None and line.metrics.balanced_accuracy >= target

    def _save_if_due(self) -> None:
        every = self._bench.config.run.checkpoint_every
        if every and self._line.round % every == 0:
            self._save()
            # A resumed run cannot know what sites lost in rounding, so nor may this one.
            self._strategy.transport.begin_anew()

    def _way_on(self) -> str:
        """What to do after a run that could not go on."""
        if not self._bench.config.run.checkpoint_every:
            return "it has no checkpoint (checkpoint-every = 0), so it must be started anew"
        return f"the setting resume goes on after round {self._line.round}"

    def _save(self) -> None:
        """Save the last finished round, unless it is saved."""
        if self._saved == self._line.round or not self._bench.config.run.checkpoint_every:
            return
        snapshot = self._strategy.snapshot(self._line)
        for callback in self._bench.callbacks:
            callback.on_snapshot(snapshot)
        self._saved = self._line.round
