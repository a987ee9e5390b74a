"""What a strategy works with, without a run around it."""

import numpy as np

from dtfl_app.core.config import RunConfig
from dtfl_app.core.settings import Value
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.state import Agreement
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.rounds.workbench import Workbench
from dtfl_app.strategies.registry import create_strategy
from tests.support.settings import keyed

__all__ = ["NO_SCORES", "reply", "strategy_on", "workbench"]

NO_SCORES = Sketch(0, np.zeros(0))


def reply(site: str, params: Params, examples: int = 10) -> Reply:
    """An admitted reply of which only the arguments matter."""
    return Reply(site, params, examples, loss=1.0, steps=1, sketches=(NO_SCORES,), payload=0)


def workbench(twin: TwinTrainer | None = None, **settings: Value) -> Workbench:
    """A workbench without sites; `settings` are run-config keys, written with _ for -.

    Scripted sites claim losses that nothing follows from, so the twin is not judged by them.
    """
    told = {"trust__twin_limit": 0.0, **settings}
    config = RunConfig.from_mapping(keyed(**told))
    return Workbench(config, nodes={}, agreement=Agreement(), twin=twin)


def strategy_on(name: str, twin: TwinTrainer | None = None, **settings: Value):
    """The strategy `name` with these settings, on such a workbench."""
    return create_strategy(name, workbench(twin, **settings))
