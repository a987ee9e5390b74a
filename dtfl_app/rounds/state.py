"""What a strategy carries from round to round, and what it works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message

from dtfl_app.core.config import RunConfig
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.metrics import Metrics
from dtfl_app.detector.models import Params, as_params
from dtfl_app.messages.wire import Arrays, prefixed, with_prefix
from dtfl_app.results.events import RunEvent
from dtfl_app.results.lines import RoundLine
from dtfl_app.rounds.twin_trainer import TwinTrainer

__all__ = ["NoSettings", "Snapshot", "State", "Workbench", "read_state", "write_state"]


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Settings of a method that has none of its own."""


@dataclass(frozen=True, slots=True)
class State:
    """What the server carries from round to round; a checkpoint holds all of it.

    Parameters
    ----------
    model : parameters the sites start the next round from; also what is evaluated.
    twin : parameters of the twin's own copy, for methods that keep one.
    memory : whatever else a method must remember, as named arrays.
    """

    model: Params
    twin: Params | None = None
    memory: Arrays = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A strategy between two rounds: with it, the run goes on as if it had not been interrupted.

    Parameters
    ----------
    strategy : its name.
    round : the last finished round; 0 = none yet.
    arrays : named arrays.
    notes : plain JSON values.
    """

    strategy: str
    round: int
    arrays: Arrays
    notes: Mapping[str, Any]


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
    note : takes everything that an operator may ask about later.
    save : takes the strategy's snapshot as often as the setting `checkpoint-every` says.
    identify : reads from a node's profile which site it is, or raises ReplyError.
    spend : takes (strategy, sites) whenever these are asked for an update, for the privacy account.
    twinless : whether the data set has no twin, so that a method that needs one runs as FedAvg.
    run : the run's identity, under which sites keep their state; empty = they keep none on disk.
    """

    config: RunConfig
    directory: Mapping[int, str]
    scaler: Arrays
    twin: TwinTrainer | None
    evaluate: Callable[[Params, Calibration], Metrics] | None
    record: Callable[[RoundLine], None]
    physics: Arrays = field(default_factory=dict)
    note: Callable[[RunEvent], None] = lambda event: None
    save: Callable[[Snapshot], None] = lambda snapshot: None
    identify: Callable[[Message], str] = lambda profile: ""
    spend: Callable[[str, Sequence[str]], None] = lambda strategy, sites: None
    twinless: bool = False
    run: str = ""


def write_state(state: State) -> Arrays:
    """Name all arrays of a state for a snapshot."""
    twin = {} if state.twin is None else prefixed("twin", state.twin)
    return {**prefixed("model", state.model), **twin, **prefixed("memory", state.memory)}


def read_state(snapshot: Snapshot) -> State:
    """Take the state out of a snapshot."""
    arrays = snapshot.arrays
    twin = as_params(with_prefix("twin", arrays)) or None
    return State(as_params(with_prefix("model", arrays)), twin, with_prefix("memory", arrays))
