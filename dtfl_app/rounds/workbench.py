"""What a run provides to its strategies, and what it does at every step of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import Message

from dtfl_app.core.config import RunConfig
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.params import Params
from dtfl_app.results.lines import RoundLine
from dtfl_app.results.run_events import RunEvent
from dtfl_app.rounds.state import Agreement, Snapshot
from dtfl_app.rounds.twin_trainer import TwinTrainer

__all__ = ["Callback", "Workbench"]


class Callback:
    """What a run does besides its rounds; a subclass overrides the hooks that concern it."""

    def on_tasks(self, strategy: str, sites: Sequence[str]) -> None:
        """Sites are about to be asked for layers."""

    def on_round_end(self, line: RoundLine, model: Params, calibration: Calibration) -> RoundLine:
        """A model's calibration scores are in: return its line, perhaps with figures added."""
        return line

    def on_event(self, event: RunEvent) -> None:
        """Something happened that an operator may ask about later."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """The strategy is between two rounds, and the setting `checkpoint-every` says to save."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every method works with besides its own settings.

    Parameters
    ----------
    config : the run's settings.
    nodes : node id -> site name, as enrolled.
    agreement : what the sites agreed on.
    twin : trainer on twin data; None without a twin.
    callbacks : called in this order.
    identify : reads from a node's profile which site it is, or raises ReplyError.
    twinless : whether the data set has no twin, so that a method that needs one runs as FedAvg.
    run : the run's identity, under which sites keep their state; empty = they keep none on disk.
    """

    config: RunConfig
    nodes: Mapping[int, str]
    agreement: Agreement
    twin: TwinTrainer | None = None
    callbacks: Sequence[Callback] = ()
    identify: Callable[[Message], str] = lambda profile: ""
    twinless: bool = False
    run: str = ""
