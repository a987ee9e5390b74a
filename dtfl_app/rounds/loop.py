"""The course of a strategy's run: round after round, judged, recorded and saved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from dtfl_app.core.errors import FederationError, ReplyError
from dtfl_app.core.logs import log
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.models import Params
from dtfl_app.messages.admission import admit_sketches
from dtfl_app.messages.wire import to_record
from dtfl_app.results.events import RunEvent
from dtfl_app.results.lines import RoundLine
from dtfl_app.rounds.collector import QuorumError, RoundCollector
from dtfl_app.rounds.pending import PendingReplies
from dtfl_app.rounds.signals import site_score
from dtfl_app.rounds.state import Snapshot

if TYPE_CHECKING:
    from dtfl_app.rounds.strategy import DTFLStrategy

__all__ = ["RoundLoop"]

# Deadlines after which a site that owes an answer is asked again; by then a simulation has replaced
# a worker that hangs.
_PATIENCE = 3.0

Sketches = Mapping[str, tuple[Sketch, ...]]


class RoundLoop:
    """Leads one strategy from its first model, or from a snapshot, to its last.

    Parameters
    ----------
    strategy : what is run.
    grid : Flower's way to the nodes.
    timeout : seconds after which a round closes with the replies it has.
    settings : further entries of every training task's config.
    """

    def __init__(
        self, strategy: DTFLStrategy, grid: Grid, timeout: float, settings: ConfigRecord
    ) -> None:
        self._strategy = strategy
        self._bench = strategy.bench
        self._timeout = timeout
        self._settings = settings
        self._gathering = RoundCollector(
            self._bench.config.round, strategy.transport, PendingReplies(grid, _PATIENCE * timeout),
            strategy.roster,
            self._bench.identify, strategy.judge, strategy.note,
        )  # fmt: skip
        # Of the round before: it is recorded once its model is judged.
        self._line = RoundLine(strategy.name, 0)
        self._saved = -1
        self._result = Result()

    def begin(self, model: Params) -> None:
        """Prepare the strategy on the first model."""
        self._strategy.begin(model)
        # A warm start's are among them.
        self._line = replace(self._line, server_steps=self._server_steps())
        self._save_if_due()

    def go_on(self, snapshot: Snapshot) -> None:
        """Go on after the round of a snapshot that the strategy has taken up."""
        notes = snapshot.notes
        line = RoundLine.from_json(notes["line"])
        self._line = replace(line, seconds=notes["seconds"])
        self._saved = snapshot.round
        if self._bench.twin is not None:
            self._bench.twin.steps_done = notes["server-steps"]

    def run(self, rounds: int) -> Result:
        """Play the rounds up to number `rounds` and judge the last model."""
        strategy, result = self._strategy, self._result
        for server_round in range(self._line.round + 1, rounds + 1):
            model, previous = strategy.state.model, self._line
            result.arrays = to_record(model)
            finished = self._settle(previous, model, self._play(server_round))
            if self._bench.config.run.stop_at_target and self._reached(finished):
                log.info("%s: target reached after %d rounds", strategy.name, finished.round)
                strategy.state = replace(strategy.state, model=model)
                return result
            self._save_if_due()
        result.arrays = to_record(strategy.state.model)
        self._settle(self._line, strategy.state.model, self._closing_sketches())
        return result

    def _play(self, server_round: int) -> Sketches:
        """Play a round; return the scores' sketches of the model that it began with."""
        strategy = self._strategy
        started, steps_before = time.perf_counter(), self._server_steps()
        strategy.transport.begin_round()
        drawn = strategy.draw(server_round)
        try:
            intake = self._gathering.gather(
                server_round,
                drawn,
                lambda due: strategy.tasks(server_round, due, self._settings),
                set(strategy.wanted_keys(server_round)),
                self._timeout,
            )
        except QuorumError as error:
            self._save()
            raise QuorumError(f"{error}. The run ends here; {self._way_on()}") from error
        if again := strategy.transport.bytes_again:
            reason = "after the resume, to sites whose own state may be gone; not counted"
            strategy.note(RunEvent("sent-again", "", server_round, "", reason, {"bytes": again}))
        line = strategy.advance(server_round, intake.all(), len(drawn) - len(intake.replies))
        self._line = replace(
            line,
            server_steps=self._server_steps() - steps_before,
            seconds=time.perf_counter() - started,
        )
        return {site: reply.sketches for site, reply in intake.replies.items()}

    def _closing_sketches(self) -> Sketches:
        """Ask all sites that can be reached for the calibration scores of the final model."""
        strategy, last = self._strategy, self._line.round
        replies = self._gathering.query(
            last, lambda due: strategy.queries(last, due), self._timeout
        )
        sketches: dict[str, tuple[Sketch, ...]] = {}
        for reply in replies:
            site = strategy.roster.site(reply.metadata.src_node_id)
            try:
                sketches[site] = admit_sketches(reply, strategy.calibration.kinds)
            except ReplyError as error:
                reason = f"did not calibrate the last model: {error}"
                strategy.note(RunEvent("refused", round=last, site=site, reason=reason))
        if not sketches:
            self._save()
            raise FederationError(
                f"none of {len(strategy.roster.sites)} sites calibrated the last model, so it has "
                f"no alarm threshold; the reasons are in the log above. {self._way_on()}"
            )
        return sketches

    def _settle(self, line: RoundLine, model: Params, sketches: Sketches) -> RoundLine:
        """Evaluate a model whose calibration scores are in, and record its line."""
        strategy = self._strategy
        strategy.calibration = replace(strategy.calibration, sites=sketches)
        line = replace(line, site_score=site_score(strategy.calibration.sketches(0)))
        if not any(sketch.count for site in sketches.values() for sketch in site):
            log.warning(
                "%s: no site has normal calibration rows, so nothing can raise an alarm",
                strategy.name,
            )
        if self._bench.evaluate is not None:
            metrics = self._bench.evaluate(model, strategy.calibration)
            line = replace(line, metrics=metrics)
            figures = MetricRecord(metrics.as_dict())  # type: ignore[arg-type] # floats and ints
            self._result.evaluate_metrics_serverapp[line.round] = figures
        self._result.train_metrics_clientapp[line.round] = MetricRecord({"loss": line.loss})
        self._bench.record(line)
        return line

    def _reached(self, line: RoundLine) -> bool:
        target = self._bench.config.run.target
        return line.metrics is not None and line.metrics.balanced_accuracy >= target

    def _server_steps(self) -> int:
        return self._bench.twin.steps_done if self._bench.twin else 0

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
        snapshot = self._strategy.snapshot(self._line.round)
        notes = {
            **snapshot.notes,
            "line": self._line.to_json(),
            "seconds": self._line.seconds,
            "server-steps": self._server_steps(),
        }
        self._bench.save(replace(snapshot, notes=notes))
        self._saved = self._line.round
