"""A strategy and K scripted sites around it, and everything that they said."""

from dataclasses import replace

import numpy as np
from flwr.serverapp.strategy import Strategy

from dtfl_app.detector.metrics import evaluate_scores
from dtfl_app.messages.training import TrainingTask
from dtfl_app.messages.wire import to_record
from dtfl_app.rounds.loop import RoundLoop
from dtfl_app.rounds.method import NoSettings
from dtfl_app.rounds.state import Agreement
from dtfl_app.rounds.workbench import Callback
from dtfl_app.strategies.registry import create_strategy
from dtfl_app.testing.grid import InProcessGrid
from tests.support.line_model import bias, line
from tests.support.scripted_site import scripted_site
from tests.support.workbench import workbench

__all__ = ["MODEL_BYTES", "SCALER_BYTES", "Federation"]

MODEL_BYTES = 8 * 4  # four layers of one weight and one bias, float32
SCALER = {"mean": np.zeros(2), "scale": np.ones(2)}
SCALER_BYTES = 4 * 8


GRID = ("ids_seed", "backwards", "failing", "silent", "tardy")
# Every answer is there at once or not at all, so waiting longer changes nothing.
DEADLINE = 0.4


class Federation(Callback):
    """A strategy, its grid and everything that it told its callback, this object.

    `accuracy` says how good a model of a given bias is; site p is called "site-p".
    """

    def __init__(self, name="fedavg", twin=None, sites=3, accuracy=None, handler=None, **settings):
        grid_options = {k: settings.pop(k) for k in GRID if k in settings}
        self.grid = InProcessGrid(sites, handler=handler or scripted_site, **grid_options)
        self.lines, self.judged, self.events, self.snapshots = [], [], [], []
        self.asked_for_layers = []
        self.accuracy = accuracy
        bench = workbench(twin, **settings)
        weight = bench.config.twin.fixed_weight
        self.bench = replace(
            bench,
            nodes={node: f"site-{i}" for i, node in enumerate(self.grid.get_node_ids())},
            agreement=Agreement(scaler=SCALER, twin_weight=1.0 if weight is None else weight),
            callbacks=[self],
        )
        self.strategy = (
            create_strategy(name, self.bench)
            if isinstance(name, str)
            else name("own", NoSettings(), self.bench)
        )

    @property
    def threshold(self):
        """Alarm threshold of the strategy's last model."""
        rate = self.bench.config.detector.false_alarm_rate
        return self.strategy.calibration.thresholds(rate)[0]

    def on_tasks(self, strategy, sites):
        self.asked_for_layers.append(sites)

    def on_event(self, event):
        self.events.append(event)

    def on_snapshot(self, snapshot):
        self.snapshots.append(snapshot)

    def on_round_end(self, line, model, calibration):
        if self.accuracy:
            line = replace(line, metrics=self._evaluate(model, calibration))
        self.lines.append(line)
        return line

    def _evaluate(self, params, calibration):
        rate = self.bench.config.detector.false_alarm_rate
        self.judged.append((bias(params), calibration.thresholds(rate)[0]))
        nothing = evaluate_scores(
            np.array([1.0, 0.0]), 0.5, np.array([1, 0], np.int8), np.array(["a", ""]), 60.0
        )
        return replace(nothing, balanced_accuracy=self.accuracy(bias(params)))

    def run(self, rounds=3, start=0.0, snapshot=None, timeout=DEADLINE):
        """Play the rounds in our loop, from a bias or after a snapshot."""
        return RoundLoop(self.strategy, self.grid, timeout).run(snapshot or line(start), rounds)

    def run_as_flower(self, rounds=3, start=0.0):
        """Play the rounds in the loop that Flower itself has."""
        return Strategy.start(self.strategy, self.grid, to_record(line(start)), rounds)

    def sites_asked(self) -> list[list[str]]:
        """Sites that got a training task, per round."""
        asked: dict[int, list[str]] = {}
        for message in self.grid.tasks():
            task = TrainingTask.unpack(message)
            asked.setdefault(task.server_round, []).append(task.site)
        return list(asked.values())
