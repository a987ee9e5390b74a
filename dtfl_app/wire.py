"""What travels between server and sites: named arrays, and the rule by which each travels once.

An array's name says what it belongs to: ``model/<key>``, ``scaler/<key>``, ``teacher/<key>``.
The server lists all arrays a site needs for a task, says which of them the site is to keep, and
sends only those it has no reason to believe the site holds. A kept array is identified by its
digest, so a site that lost its state notices, refuses the task, and gets everything next time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from numpy.typing import NDArray

from dtfl_app.errors import ReplyError

__all__ = [
    "Arrays",
    "Ledger",
    "array_bytes",
    "digest",
    "prefixed",
    "receive",
    "to_arrays",
    "to_record",
    "with_prefix",
]

Arrays = dict[str, NDArray[np.generic]]

_HELD = "held-arrays"
_NAMES, _DIGESTS = "array-names", "array-digests"


def to_record(arrays: Mapping[str, NDArray[np.generic]]) -> ArrayRecord:
    """Pack named arrays into a Flower record, in their order."""
    return ArrayRecord({name: Array(np.ascontiguousarray(a)) for name, a in arrays.items()})


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


class Ledger:
    """The server's record of which kept arrays each node holds."""

    def __init__(self) -> None:
        self._held: dict[int, dict[str, str]] = {}

    def pack(
        self, node: int, wanted: Arrays, keep: Collection[str]
    ) -> tuple[ArrayRecord, ConfigRecord]:
        """Return the arrays that `node` lacks of `wanted`, and the list it checks them against.

        Names in `keep` are held by the site afterwards, all others it forgets after the task.
        """
        digests = {name: digest(a) for name, a in wanted.items() if name in keep}
        held = self._held.setdefault(node, {})
        lacking = {n: a for n, a in wanted.items() if n not in digests or held.get(n) != digests[n]}
        held.update(digests)
        listing = ConfigRecord(
            {_NAMES: list(wanted), _DIGESTS: [digests.get(name, "") for name in wanted]}
        )
        return to_record(lacking), listing

    def forget(self, node: int) -> None:
        """Assume that `node` holds nothing: it failed, restarted or never answered."""
        self._held.pop(node, None)


def receive(arrays: ArrayRecord, listing: ConfigRecord, context: Context) -> Arrays:
    """Complete the received arrays with those the site holds; keep what the listing says.

    Raises ReplyError when an array is neither sent nor held; the server then sends everything.
    """
    names, digests = listing[_NAMES], listing[_DIGESTS]
    assert isinstance(names, list) and isinstance(digests, list)
    known = {**_held(context), **to_arrays(arrays)}
    pairs = [(str(n), str(d)) for n, d in zip(names, digests, strict=True)]
    for name, wanted in pairs:
        if name not in known or (wanted and digest(known[name]) != wanted):
            raise ReplyError(
                f"array {name!r} was neither sent nor held in the wanted version; "
                "this site's state was lost and the server must send it again"
            )
    if any(wanted for _, wanted in pairs):
        context.state[_HELD] = to_record({name: known[name] for name, wanted in pairs if wanted})
    return {name: known[name] for name, _ in pairs}


def _held(context: Context) -> Arrays:
    return to_arrays(context.state.array_records[_HELD]) if _HELD in context.state else {}
