"""What a strategy of Flower's remembers from round to round, as named arrays and back.

It keeps that in attributes: moments by parameter, a momentum per layer, counts. Those that are not
as in a new object are taken down, under ``attribute/kind`` or ``attribute/kind/key``.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy

from dtfl_app.messages.wire import Arrays, prefixed, to_arrays, to_record, with_prefix

__all__ = ["recall", "remember"]

_SCALARS: Mapping[str, type] = {"bool": bool, "int": int, "float": float}


def remember(strategy: Strategy, new: Strategy, models: Sequence[Arrays]) -> Arrays:
    """Take down what `strategy` knows and a new one does not.

    Parameters
    ----------
    strategy : after a round.
    new : made in the same way, before any.
    models : the model before the round and after it. A copy of one of them is no memory: in the
        next round the strategy is shown the model that is then in force.

    Raises ValueError for an attribute that changed and is no number, array, or list or mapping of
    arrays: a checkpoint could not hold it.
    """
    memory: Arrays = {}
    for name, value in vars(strategy).items():
        now, before = _arrays(value), _arrays(vars(new).get(name))
        if now is None or before is None or (before and not now):
            if not callable(value) and not _alike(value, vars(new).get(name)):
                raise ValueError(
                    f"remembers {name}, a {type(value).__name__}, which a checkpoint cannot hold; "
                    "expected numbers, arrays, or lists or mappings of arrays"
                )
        elif not _same(now, before) and not any(_is_model(now, model) for model in models):
            memory |= prefixed(name, now)
    return memory


def recall(strategy: Strategy, memory: Arrays) -> None:
    """Give a new strategy what `remember` took down; the arrays are its own to change."""
    for name in dict.fromkeys(key.partition("/")[0] for key in memory):
        setattr(strategy, name, _value(with_prefix(name, memory)))


def _arrays(value: object) -> Arrays | None:
    """Write a value as arrays under ``kind`` or ``kind/key``; nothing is {}, no such value None."""
    if value is None:
        return {}
    if (kind := type(value).__name__) in _SCALARS or isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return (
            {kind if kind in _SCALARS else "array": array} if array.dtype.kind in "biuf" else None
        )
    if isinstance(value, ArrayRecord):
        return prefixed("record", to_arrays(value))
    if not isinstance(value, dict | list | tuple):
        return None
    items = value if isinstance(value, dict) else {str(i): v for i, v in enumerate(value)}
    if not all(
        isinstance(k, str) and isinstance(v, np.ndarray | np.generic) for k, v in items.items()
    ):
        return None
    return prefixed(kind, {key: np.asarray(array) for key, array in items.items()})


def _value(arrays: Arrays) -> Any:  # noqa: ANN401 - what the attribute was
    """Undo `_arrays`."""
    kind = next(iter(arrays)).partition("/")[0]
    if kind in _SCALARS:
        return _SCALARS[kind](arrays[kind])
    if kind == "array":
        return arrays[kind].copy()
    items = {key: array.copy() for key, array in with_prefix(kind, arrays).items()}
    if kind == "record":
        return to_record(items)
    return items if kind == "dict" else {"list": list, "tuple": tuple}[kind](items.values())


def _same(one: Arrays, other: Arrays) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[key], other[key]) for key in one)


def _is_model(arrays: Arrays, model: Arrays) -> bool:
    return any(_same(with_prefix(kind, arrays), model) for kind in ("record", "dict"))


def _alike(one: object, other: object) -> bool:
    """Tell whether two values are the same through and through; nothing pickled is kept."""
    try:
        return pickle.dumps(one) == pickle.dumps(other)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
