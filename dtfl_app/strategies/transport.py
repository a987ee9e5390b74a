"""The way to the sites and back, for one strategy: tasks are packed here, replies let in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from dtfl_app.config import WireSettings
from dtfl_app.detector.models import Params, as_params
from dtfl_app.errors import ReplyError
from dtfl_app.logs import log
from dtfl_app.settings import Value
from dtfl_app.strategies.admission import Expected, Reply, admit
from dtfl_app.wire import Arrays, Ledger, Parcel, array_bytes, prefixed

__all__ = ["Load", "Order", "Transport"]

CALIBRATE = "query.calibrate"


@dataclass(frozen=True, slots=True)
class Load:
    """What every site needs for its task.

    Parameters
    ----------
    model : the parameters to start from.
    kept : keys of parameters that sites keep, so unchanged ones need not travel.
    extras : further arrays that sites keep, by their names on the wire.
    """

    model: Params
    kept: Collection[str]
    extras: Arrays


@dataclass(frozen=True, slots=True)
class Order:
    """What one site is asked for.

    Parameters
    ----------
    site : the site's name.
    server_round : the round.
    upload : keys of the parameters to return.
    settings : further entries of the task's config.
    """

    site: str
    server_round: int
    upload: Sequence[str]
    settings: Mapping[str, object] = field(default_factory=dict)


class Transport:
    """Packs the tasks of one strategy in the precision the run asks for, and admits the replies.

    Parameters
    ----------
    settings : precision up and down.
    strategy : the strategy's name; it tells its uploads from another's at the same site.
    kinds : kinds of evidence whose calibration scores sites sketch.

    `bytes_down` is what the round's training tasks weigh.
    """

    def __init__(self, settings: WireSettings, strategy: str, kinds: int = 1) -> None:
        self._settings = settings
        self._strategy = strategy
        self._kinds = kinds
        self._ledger = Ledger()
        self._expected: dict[int, Expected] = {}
        self._counted: dict[int, str] = {}
        self.bytes_down = 0

    @property
    def asked(self) -> int:
        """Number of sites that were sent a training task this round."""
        return len(self._expected)

    def begin_round(self) -> None:
        """Expect nothing of the round before any more."""
        self._expected, self.bytes_down = {}, 0

    def task(self, node: int, order: Order, load: Load) -> Message:
        """Pack a training task and expect its reply."""
        changes = list(load.model) if self._settings.download_precision == "int8" else []
        parcel = self._pack(node, load, changes or load.kept, changes)
        self.bytes_down += array_bytes(parcel.arrays)
        terms: dict[str, Value] = {}
        base = None
        if self._settings.upload_precision == "int8":
            base = as_params({key: parcel.contents[f"model/{key}"] for key in order.upload})
            terms = {"upload-tag": self._tag(order), "upload-follows": self._counted.get(node, "")}
        shapes = {key: load.model[key].shape for key in order.upload}
        self._expected[node] = Expected(order.site, order.server_round, shapes, base, self._kinds)
        task = {**order.settings, "upload": list(order.upload), **terms}
        return _message(node, MessageType.TRAIN, order, parcel, task)

    def query(self, node: int, order: Order, load: Load) -> Message:
        """Pack the closing query; it carries the model itself, whatever the run's precision."""
        parcel = self._pack(node, load, load.kept)
        return _message(node, CALIBRATE, order, parcel, {})

    def admit(self, messages: Iterable[Message]) -> list[Reply]:
        """Admit replies, by site name; who is refused, failed or silent is sent everything anew."""
        admitted: dict[int, Reply] = {}
        reasons = dict.fromkeys(self._expected, "no reply within the round's timeout")
        for message in messages:
            node = message.metadata.src_node_id
            if node not in self._expected or node in admitted:
                log.warning("refused a reply of node %d: not expected in this round", node)
                continue
            try:
                admitted[node] = admit(message, self._expected[node])
            except ReplyError as error:
                reasons[node] = str(error)
        for node, expected in self._expected.items():
            if node in admitted:
                self._counted[node] = self._tag(expected)
            else:
                log.warning("site %s refused: %s", expected.site, reasons[node])
                self._ledger.forget(node)
        return sorted(admitted.values(), key=lambda reply: reply.site)

    def _pack(
        self, node: int, load: Load, kept: Collection[str], changes: Collection[str] = ()
    ) -> Parcel:
        wanted = {**prefixed("model", load.model), **load.extras}
        keep = [*load.extras, *(f"model/{key}" for key in kept)]
        return self._ledger.pack(node, wanted, keep, [f"model/{key}" for key in changes])

    def _tag(self, of: Order | Expected) -> str:
        return f"{self._strategy}/{of.server_round}"


def _message(
    node: int, kind: str, order: Order, parcel: Parcel, entries: Mapping[str, object]
) -> Message:
    task = {**entries, "server-round": order.server_round, "site": order.site}
    content = RecordDict()
    content["arrays"], content["listing"] = parcel.arrays, parcel.listing
    content["task"] = ConfigRecord(task)  # type: ignore[arg-type] # values are Flower scalars
    return Message(content=content, message_type=kind, dst_node_id=node)
