"""The way to the sites and back, for one strategy: tasks are packed here, replies let in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Message

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.sections import WireSettings
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply, admit
from dtfl_app.messages.calibration import CalibrationTask
from dtfl_app.messages.training import Expected, TrainingTask
from dtfl_app.messages.versions import Versions
from dtfl_app.messages.wire import (
    EXTRA,
    MODEL,
    Arrays,
    Ledger,
    PackedTask,
    array_bytes,
    prefixed,
    with_prefix,
)

__all__ = ["Admission", "SharedPayload", "SiteRequest", "Transport"]


@dataclass(frozen=True, slots=True)
class SharedPayload:
    """What every site needs for its task.

    Parameters
    ----------
    model : the parameters to start from.
    kept : keys of parameters that sites keep, so unchanged ones need not travel.
    extras : further arrays that sites keep, by their names on the wire; those of a method's site
        half travel as int8 changes where the model does.
    own : site -> those of them that it keeps in place of the others'.
    """

    model: Params
    kept: Collection[str]
    extras: Arrays
    own: Callable[[str], Arrays] = lambda site: {}


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """What one site is asked for.

    Parameters
    ----------
    site : the site's name.
    server_round : the round.
    upload : keys of the parameters to return.
    settings : what the method and the run's train config tell the sites.
    versions : which version of its own arrays it goes on from; None = it keeps none.
    rule : name of the method's site half; empty = none.
    extras : name -> shape of the arrays to return besides.
    personal : keys of parameters of which the site has values of its own.
    """

    site: str
    server_round: int
    upload: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Versions | None = None
    rule: str = ""
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    personal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """What came of some messages from the sites.

    Parameters
    ----------
    replies : (round it answers, reply), by site name.
    refused : (site, round it answers, why).
    """

    replies: list[tuple[int, Reply]]
    refused: list[tuple[str, int, str]]


class Transport:
    """Packs the tasks of one strategy in the precision the run asks for, and admits the replies.

    Parameters
    ----------
    settings : precision up and down.
    strategy : the strategy's name; it tells its uploads from another's at the same site.
    kinds : kinds of evidence whose calibration scores sites sketch.
    run : the run's identity; sites keep their state on disk under it. Empty = they do not.

    `bytes_down` is what the round's training tasks weigh, `bytes_again` what a resumed run sends
    once more because the sites' own state may be gone.
    """

    def __init__(
        self, settings: WireSettings, strategy: str, kinds: int = 1, run: str = ""
    ) -> None:
        self._settings = settings
        self._strategy = strategy
        self._kinds = kinds
        self._run = run
        self._ledger = Ledger()
        self._expected: dict[int, Expected] = {}
        self._counted: dict[int, str] = {}
        self.bytes_down = 0
        self.bytes_again = 0

    def begin_round(self) -> None:
        """Count the bytes of a new round."""
        self.bytes_down = self.bytes_again = 0

    def task(self, node: int, request: SiteRequest, shared: SharedPayload) -> Message:
        """Pack a training task and expect its reply."""
        changes = _changes(shared) if self._settings.download_precision == "int8" else []
        packed = self._pack(
            node, request.site, shared, shared.model if changes else shared.kept, changes
        )
        self.bytes_down += packed.payload
        self.bytes_again += array_bytes(packed.arrays) - packed.payload
        start = shared.model
        if changes:
            received = with_prefix(MODEL, packed.contents)
            start = {key: a.astype(np.float32, copy=False) for key, a in received.items()}
        tag, follows, base = "", "", None
        if self._settings.upload_precision == "int8":
            tag, follows = self._tag(request.server_round), self._counted.get(node, "")
            base = {key: start[key] for key in request.upload}
        shapes = {key: shared.model[key].shape for key in request.upload}
        self._expected[node] = Expected(
            site=request.site,
            server_round=request.server_round,
            shapes=shapes,
            base=base,
            kinds=self._kinds,
            extras=request.extras,
            start=start,
            judged=bool(request.personal),
        )
        task = TrainingTask(
            site=request.site,
            server_round=request.server_round,
            run=self._run,
            upload=tuple(request.upload),
            tag=tag,
            follows=follows,
            settings=request.settings,
            versions=request.versions,
            rule=request.rule,
            extras=request.extras,
            personal=request.personal,
        )
        return task.pack(node, packed)

    def query(self, node: int, request: SiteRequest, shared: SharedPayload) -> Message:
        """Pack the closing query; it carries the model itself, whatever the run's precision."""
        packed = self._pack(node, request.site, shared, shared.kept)
        task = CalibrationTask(
            request.site,
            request.server_round,
            self._run,
            versions=request.versions,
            personal=request.personal,
        )
        return task.pack(node, packed)

    def admit(self, messages: Iterable[Message]) -> Admission:
        """Admit replies to the tasks that are open; each task has one reply."""
        replies: list[tuple[int, Reply]] = []
        refused: list[tuple[str, int, str]] = []
        for message in messages:
            node = message.metadata.src_node_id
            expected = self._expected.pop(node, None)
            if expected is None:
                reason = "not expected: a second reply, or one of a node that was not asked"
                refused.append((f"node {node}", 0, reason))
                continue
            try:
                replies.append((expected.server_round, admit(message, expected)))
                self._counted[node] = self._tag(expected.server_round)
            except ReplyError as error:
                self._ledger.forget(node)
                refused.append((expected.site, expected.server_round, str(error)))
        return Admission(sorted(replies, key=lambda found: found[1].site), refused)

    def disown(self, node: int) -> None:
        """Do without the reply of `node`, or take it back: what it lost in rounding is lost."""
        self._expected.pop(node, None)
        self._counted.pop(node, None)
        self._ledger.forget(node)

    def begin_anew(self) -> None:
        """Let every site's next upload follow none: what they lost in rounding is in no checkpoint.

        A resumed run could not know it, and would go on differently from the run it resumes.
        """
        self._counted.clear()

    def state(self, sites: Mapping[int, str]) -> tuple[dict[str, dict[str, str]], Arrays]:
        """What sites hold, by site name, and the arrays that int8 changes refer to, by digest."""
        return self._ledger.state(sites)

    def restore(
        self, nodes: Mapping[str, int], held: Mapping[str, Mapping[str, str]], bases: Arrays
    ) -> None:
        """Take up what `state` gave; sites are sent all of it once more, uncounted."""
        self._ledger.restore(nodes, held, bases)

    def _pack(
        self,
        node: int,
        site: str,
        shared: SharedPayload,
        kept: Collection[str],
        changes: Collection[str] = (),
    ) -> PackedTask:
        wanted = {**prefixed(MODEL, shared.model), **shared.extras, **shared.own(site)}
        keep = [*shared.extras, *(f"{MODEL}/{key}" for key in kept)]
        return self._ledger.pack(node, wanted, keep, changes)

    def _tag(self, server_round: int) -> str:
        return f"{self._strategy}/{server_round}"


def _changes(shared: SharedPayload) -> list[str]:
    """Names of the arrays that may travel as int8 changes of what a site holds."""
    extras = with_prefix(EXTRA, shared.extras)
    following = [name for name, array in extras.items() if array.dtype == np.float32]
    return [*prefixed(MODEL, shared.model), *(f"{EXTRA}/{name}" for name in following)]
