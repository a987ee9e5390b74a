"""Whole runs of the app in this process: played, cut off, taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Message, RecordDict

from dtfl_app.client.app import app as client_app
from dtfl_app.core.settings import Value
from dtfl_app.results.comparison import compare_runs
from dtfl_app.results.lines import METRICS, RoundLine, read_lines
from dtfl_app.results.run_events import EVENTS, RunEvent, read_events
from dtfl_app.results.saved_models import SavedModel, load_model
from dtfl_app.server.app import app as server_app
from dtfl_app.testing.grid import Handler, InProcessGrid

__all__ = ["PlayedRun", "PowerCut", "cut_in", "play", "require_same", "round_of"]


class PowerCut(BaseException):
    """Ends a run in the middle of a round; no handler catches it."""


@dataclass(frozen=True, slots=True)
class PlayedRun:
    """A finished run's folder, and every message of it.

    Parameters
    ----------
    path : the folder.
    grid : holds the messages.
    """

    path: Path
    grid: InProcessGrid

    @property
    def lines(self) -> list[RoundLine]:
        """Lines of its rounds, from the start to the last one."""
        return read_lines(self.path / METRICS)

    @property
    def events(self) -> list[RunEvent]:
        """What its log of events holds."""
        path = self.path / EVENTS
        return read_events(path) if path.exists() else []

    def model(self) -> SavedModel:
        """The last model of its only strategy."""
        (path,) = (self.path / "models").glob("*.safetensors")
        return load_model(path)


def play(
    settings: Mapping[str, Value],
    sites: int,
    *,
    handler: Handler = client_app,
    ids_seed: int = 0,
    backwards: bool = False,
) -> PlayedRun:
    """Play a run to its end with `sites` nodes in this process.

    Parameters
    ----------
    settings : run config, with ``results-dir`` and ``run-name``, or ``resume``.
    sites : number of nodes.
    handler : answers for the nodes.
    ids_seed : seed of the nodes' ids.
    backwards : hand out replies in reverse order.

    Raises what the run raises.
    """
    grid = InProcessGrid(sites, {**settings}, handler, ids_seed, backwards)
    server_app(grid, Context(1, 0, {}, RecordDict(), {**settings}))
    resumed = settings.get("resume")
    folder = resumed or Path(str(settings["results-dir"])) / str(settings["run-name"])
    return PlayedRun(Path(str(folder)), grid)


def round_of(message: Message) -> int:
    """Round of a training task or of a site's reply to one; 0 of any other message."""
    if message.metadata.message_type != "train" or message.has_error():
        return 0
    records = message.content.config_records
    entries = records["identity"] if "identity" in records else records["task"]
    return int(str(entries["server-round"]))


def cut_in(server_round: int) -> Handler:
    """Sites that lose all power in this round."""

    def handler(message: Message, context: Context) -> Message:
        if round_of(message) == server_round:
            raise PowerCut
        return client_app(message, context)

    return handler


def require_same(first: PlayedRun, second: PlayedRun) -> None:
    """Raise AssertionError, with the first differences, unless both runs end in the same bytes."""
    found = compare_runs(first.path, second.path)
    assert not found.differences, "; ".join(found.differences)
    assert found.tensors, "no model was stored"
