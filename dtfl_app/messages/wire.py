"""What travels between server and sites: named arrays, and the rule by which each travels once.

An array's name says what it belongs to: ``model/<key>``, ``scaler/<key>``, ``physics/<key>``,
``teacher/<key>``, ``extra/<name>`` for what a method and its site half say to each other.
The server lists all arrays a site needs for a task, says which of them the site is to keep, and
sends only those it has no reason to believe the site holds. A kept array is identified by its
digest, so a site that lost its state notices, refuses the task, and gets everything next time.

Models may travel as int8 changes. Downwards, a site is sent the change of the very arrays it holds;
both ends add the rounded change to them, so what one message lost is in the next one. Upwards, a
site sends the change of what it was sent and adds what rounding lost to its next upload (error
feedback: Seide et al. 2014; Karimireddy et al. 2019).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict
from numpy.typing import NDArray

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.detector.params import Params, as_params
from dtfl_app.messages.quantise import SCALE, Quantised, dequantise, quantise

__all__ = [
    "EXTRA",
    "MODEL",
    "PHYSICS",
    "SCALER",
    "TEACHER",
    "Arrays",
    "Ledger",
    "PackedTask",
    "array_bytes",
    "compress",
    "digest",
    "prefixed",
    "receive",
    "to_arrays",
    "to_record",
    "with_prefix",
]

Arrays = dict[str, NDArray[np.generic]]

MODEL, SCALER, PHYSICS, TEACHER = "model", "scaler", "physics", "teacher"
EXTRA = "extra"

_ARRAYS, _LISTING = "arrays", "listing"
_HELD = "held-arrays"
_NAMES, _DIGESTS, _CHANGED = "array-names", "array-digests", "array-changes"
_LOST, _LOST_IN = "upload-errors", "upload-errors-of"


def to_record(arrays: Mapping[str, NDArray[np.generic]]) -> ArrayRecord:
    """Pack named arrays into a Flower record, in their order."""
    # Not ascontiguousarray: it would make a list of one of a single number.
    return ArrayRecord({name: Array(np.asarray(a, order="C")) for name, a in arrays.items()})


def to_arrays(record: ArrayRecord) -> Arrays:
    """Unpack a Flower record; bytes that are no array raise ReplyError."""
    return {name: _to_array(name, array) for name, array in record.items()}


def _to_array(name: str, array: Array) -> NDArray[np.generic]:
    try:
        value = array.numpy()
    # Not narrower: on malformed bytes NumPy also lets errors of zipfile, tokenize and malloc out.
    except Exception as error:
        raise ReplyError(
            f"arrays cannot be read: {name!r}: {error}; expected NumPy arrays"
        ) from error
    if not isinstance(value, np.ndarray):
        raise ReplyError(f"arrays cannot be read: {name!r} is an archive; expected NumPy arrays")
    return value


def array_bytes(record: ArrayRecord) -> int:
    """Payload bytes of the arrays in a record: elements times their size, headers left out."""
    return sum(
        int(np.prod(a.shape, dtype=np.int64)) * np.dtype(a.dtype).itemsize for a in record.values()
    )


def prefixed(prefix: str, arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Put ``prefix/`` before every name."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def with_prefix(prefix: str, arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Return the arrays named ``prefix/...``, without the prefix."""
    start = f"{prefix}/"
    return {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}


def digest(array: NDArray[np.generic]) -> str:
    """16 hexadecimal digits of an array's dtype, shape and content."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PackedTask:
    """What one message to a site carries.

    Parameters
    ----------
    arrays : the arrays that travel.
    listing : all arrays of the task, and how the site checks them.
    contents : the arrays as the site has them once it has unpacked the message.
    payload : bytes of those arrays that travel because the site does not hold them.
    """

    arrays: ArrayRecord
    listing: ConfigRecord
    contents: Arrays
    payload: int

    def records(self) -> RecordDict:
        """The message's records, to which a task adds its own."""
        return RecordDict({_ARRAYS: self.arrays, _LISTING: self.listing})


class Ledger:
    """The server's record of which kept arrays each node holds."""

    def __init__(self) -> None:
        self._held: dict[int, dict[str, str]] = {}
        self._bases: dict[int, Params] = {}
        # nodes that hold the same version share one copy of it
        self._versions: WeakValueDictionary[str, NDArray[np.float32]] = WeakValueDictionary()
        self._doubtful: set[int] = set()

    def pack(
        self,
        node: int,
        wanted: Arrays,
        keep: Collection[str],
        as_changes: Collection[str] = (),
    ) -> PackedTask:
        """Pack the arrays that `node` lacks of `wanted`, and the list it checks them against.

        Names in `keep` are held by the site afterwards, all others it forgets after the task.
        Those of them in `as_changes`, float32, travel as int8 change of the version that the node
        holds; in full if it holds none or if the change is not finite.
        """
        held, bases = self._held.get(node, {}), self._bases.get(node, {})
        travelling: Arrays = {}
        contents, changed = dict(wanted), []
        for name, array in wanted.items():
            if name in keep and held.get(name) == digest(array):
                continue
            known = name in as_changes and name in bases
            change = _change(name, array, bases[name]) if known else {}
            if change:
                changed.append(name)
                contents[name] = self._shared(_add(name, bases[name], change))
            travelling |= change or {name: array}
        digests = {name: digest(contents[name]) for name in wanted if name in keep}
        self._held[node] = digests
        self._bases[node] = {n: contents[n].astype(np.float32, copy=False) for n in as_changes}
        payload = sum(array.nbytes for array in travelling.values())
        if node in self._doubtful:
            self._doubtful.discard(node)
            travelling, changed = contents, []
        listing = ConfigRecord(
            {
                _NAMES: list(wanted),
                _DIGESTS: [digests.get(name, "") for name in wanted],
                _CHANGED: changed,
            }
        )
        return PackedTask(to_record(travelling), listing, contents, payload)

    def forget(self, node: int) -> None:
        """Assume that `node` holds nothing: it failed, restarted or never answered."""
        self._held.pop(node, None)
        self._bases.pop(node, None)
        self._doubtful.discard(node)

    def state(self, sites: Mapping[int, str]) -> tuple[dict[str, dict[str, str]], Arrays]:
        """What this ledger knows, for a checkpoint: site -> name -> digest, and digest -> array.

        The arrays are those that int8 changes refer to. `sites` : node -> site name.
        """
        held = {sites[node]: dict(names) for node, names in self._held.items() if node in sites}
        bases = {digest(a): a for known in self._bases.values() for a in known.values()}
        return held, {**bases}

    def restore(
        self, nodes: Mapping[str, int], held: Mapping[str, Mapping[str, str]], bases: Arrays
    ) -> None:
        """Take up what `state` gave, in a process that cannot know what sites still hold.

        Each site is sent all of its next task's arrays; in what they weigh, and in what the changes
        refer to, the run goes on as if it had not been interrupted. `nodes` : site name -> node.
        """
        for site, names in held.items():
            if site in nodes:
                node, known = nodes[site], {n: bases[d] for n, d in names.items() if d in bases}
                self._held[node] = dict(names)
                self._bases[node] = as_params(known)
                self._doubtful.add(node)

    def _shared(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._versions.setdefault(digest(array), array)


def receive(content: RecordDict, context: Context) -> Arrays:
    """Complete the arrays of a task with those the site holds; keep what its listing says.

    Raises ReplyError when an array is neither sent nor held; the server then sends everything.
    """
    listing = content.config_records.get(_LISTING, ConfigRecord())
    names, digests, changed = (_texts(listing, key) for key in (_NAMES, _DIGESTS, _CHANGED))
    held, sent = _held(context), to_arrays(content.array_records.get(_ARRAYS, ArrayRecord()))
    updated = {name: _add(name, held[name], sent) for name in changed if name in held}
    known = {**held, **sent, **updated}
    pairs = list(zip(names, digests, strict=True))
    for name, wanted in pairs:
        if name not in known or (wanted and digest(known[name]) != wanted):
            raise ReplyError(
                f"array {name!r} was neither sent nor held in the wanted version; "
                "this site's state was lost and the server must send it again"
            )
    if any(wanted for _, wanted in pairs):
        context.state[_HELD] = to_record({name: known[name] for name, wanted in pairs if wanted})
    return {name: known[name] for name, _ in pairs}


def compress(
    trained: Params, received: Params, tag: str, follows: str, context: Context
) -> Quantised:
    """Return an upload as int8 changes; what rounding loses is kept and added to the next one.

    ``c = Theta_k - Theta_received + e``, ``q = round(c / s)``, ``e <- c - s q``, per array.

    Parameters
    ----------
    trained : the arrays to upload.
    received : the arrays the site was sent; may hold more.
    tag : names this upload.
    follows : tag of this node's last upload that counted. e belongs to it, else e = 0: the upload
        it is left from may be another method's, or one the server refused.
    context : where the site keeps e; arrays that are not uploaded this time keep theirs.
    """
    state = context.state
    counted = _LOST_IN in state and state.config_records[_LOST_IN]["tag"] == follows
    lost = as_params(to_arrays(state.array_records[_LOST])) if counted else {}
    changes = {key: value - received[key] + lost.get(key, 0) for key, value in trained.items()}
    packed = quantise(changes)
    rounded = dequantise(packed)
    lost |= {key: change - rounded[key] for key, change in changes.items()}
    state[_LOST] = to_record(lost)
    state[_LOST_IN] = ConfigRecord({"tag": tag})
    return packed


def _change(name: str, array: NDArray[np.generic], base: NDArray[np.float32]) -> Quantised:
    """``array - base`` in 8 bits; empty if it is not finite."""
    packed = quantise({name: array.astype(np.float32) - base})
    return packed if np.isfinite(packed[name + SCALE]).all() else {}


def _add(name: str, base: NDArray[np.generic], packed: Quantised) -> NDArray[np.float32]:
    part = {key: packed[key] for key in (name, name + SCALE)}
    return base.astype(np.float32, copy=False) + dequantise(part)[name]


def _texts(listing: ConfigRecord, key: str) -> list[str]:
    value = listing.get(key)
    if not isinstance(value, list):
        raise ReplyError(f"the task's {key} is {quoted(value)}, expected a list of names")
    return [str(text) for text in value]


def _held(context: Context) -> Arrays:
    return to_arrays(context.state.array_records[_HELD]) if _HELD in context.state else {}
