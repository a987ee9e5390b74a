"""What a run does at every step of its strategies: evaluate, record, save, account for privacy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dtfl_app.core.errors import CheckpointError
from dtfl_app.core.logs import log
from dtfl_app.core.settings import Value
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.models import Params
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.messages.privacy import PrivacyLedger
from dtfl_app.results.checkpoint import Checkpoint
from dtfl_app.results.events import RunEvent
from dtfl_app.results.lines import RoundLine
from dtfl_app.results.run import RunDirectory
from dtfl_app.rounds.state import Snapshot
from dtfl_app.rounds.workbench import Callback

__all__ = ["Evaluate", "Privacy", "Record", "SaveCheckpoints"]


class Evaluate(Callback):
    """Adds the figures of every model on the evaluation set to its line."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def on_round_end(self, line: RoundLine, model: Params, calibration: Calibration) -> RoundLine:
        """Evaluate the model."""
        return replace(line, metrics=self._evaluator(model, calibration))


class Record(Callback):
    """Writes lines and events to the run's folder, and the lines' figures to the log."""

    def __init__(self, results: RunDirectory, rounds: int) -> None:
        self._results = results
        self._rounds = rounds

    def on_round_end(self, line: RoundLine, model: Params, calibration: Calibration) -> RoundLine:
        """Record the line."""
        self._results.record(line)
        if line.metrics is None:
            log.info("%s round %d: loss %.4f", line.strategy, line.round, line.loss)
        else:
            log.info(
                "%s round %d/%d: balanced accuracy %.3f, AUC-PR %.3f, S %.3f",
                line.strategy, line.round, self._rounds,
                line.metrics.balanced_accuracy, line.metrics.auc_pr, line.metrics.s,
            )  # fmt: skip
        return line

    def on_event(self, event: RunEvent) -> None:
        """Record the event."""
        self._results.note(event)


class SaveCheckpoints(Callback):
    """Writes snapshots as checkpoints; where one cannot be written the run goes on and says so."""

    def __init__(self, results: RunDirectory, settings: Mapping[str, Value]) -> None:
        self._results = results
        self._settings = settings

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Write a checkpoint."""
        checkpoint = Checkpoint(
            strategy=snapshot.strategy,
            round=snapshot.round,
            settings=self._settings,
            arrays=snapshot.arrays(),
            notes=snapshot.notes(),
            history=self._results.history,
            timings=self._results.timings,
        )
        try:
            self._results.checkpoints.write(checkpoint)
        except CheckpointError as error:
            log.warning("no checkpoint of round %d: %s", snapshot.round, error)
            self._results.note(
                RunEvent("no-checkpoint", snapshot.strategy, snapshot.round, "", str(error))
            )


class Privacy(Callback):
    """Counts the noisy updates that sites are asked for, before they are; on disk at once.

    A checkpoint would forget those that were given after it.
    """

    def __init__(self, ledger: PrivacyLedger, results: RunDirectory) -> None:
        self._ledger = ledger
        self._results = results

    def on_tasks(self, strategy: str, sites: Sequence[str]) -> None:
        """Count an update of each site."""
        self._ledger.count(strategy, sites)
        self._results.save_privacy(self._ledger.report())
