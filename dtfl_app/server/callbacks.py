"""What a run does at every step of its strategies: evaluate, record, save, account for privacy."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dtfl_app.core.errors import CheckpointError
from dtfl_app.core.logs import log, tell
from dtfl_app.core.settings import Value
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.params import Params
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.messages.privacy import PrivacyLedger
from dtfl_app.results.checkpoint import Checkpoint
from dtfl_app.results.lines import RoundLine
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.results.run_events import RunEvent
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
    """Writes lines and events to the run's folder, and the lines' figures to the log.

    Parameters
    ----------
    results : the run's folder.
    rounds : how many there are at most.
    scored : whether BATADAL's score S is defined for the data set.
    """

    def __init__(self, results: RunDirectory, rounds: int, scored: bool) -> None:
        self._results = results
        self._rounds = rounds
        self._scored = scored

    def on_round_end(self, line: RoundLine, model: Params, calibration: Calibration) -> RoundLine:
        """Record the line."""
        self._results.record(line)
        figures = f"loss {line.loss:.4f}"
        if line.metrics is not None:
            figures = (
                f"balanced accuracy {line.metrics.balanced_accuracy:.3f}, "
                f"AUC-PR {line.metrics.auc_pr:.3f}"
            )
            figures += f", S {line.metrics.s:.3f}" if self._scored else ""
        ended = RunEvent("round", line.strategy, line.round, figures={"rounds": self._rounds})
        sentence = f"{line.strategy} round {line.round}/{self._rounds}: {figures}"
        tell(logging.INFO, sentence, ended.entries())
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
            run=self._results.run,
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
