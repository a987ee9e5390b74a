"""Every way in which one entry of a JSON file can be wrong, one after the other."""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

__all__ = ["dumped", "spoilt"]

_NONSENSE = "no such name"


def spoilt(plain: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield key, what was done to it, and the whole with that done.

    Of a list the first and the last entry are changed, of a number, list, text or object each of
    what can be wrong with such.
    """
    for path in _paths(plain):
        value = _at(plain, path)
        for what, changed in _changes(value):
            yield _name(path), what, _with(plain, path, changed)
        if path and isinstance(path[-1], str):
            whole = copy.deepcopy(plain)
            del _at(whole, path[:-1])[path[-1]]
            yield _name(path), "missing", whole


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for place in sorted({0, len(value) - 1} if value else set()):
            yield from _paths(value[place], (*path, place))


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    yield "wrong type", 3 if isinstance(value, str | dict | list) else "3"
    if isinstance(value, bool):
        yield "a number", int(value)
    elif isinstance(value, int | float):
        yield "NaN", math.nan
        yield "infinite", math.inf
        yield "negative", -abs(value) - 1
        yield "huge", 10**30 if isinstance(value, int) else 1e300
        yield "nothing", None
    elif isinstance(value, str):
        yield "unknown name", _NONSENSE
        if value:
            yield "empty", ""
    elif isinstance(value, dict):
        yield "unknown key", {**value, _NONSENSE: 3}
    elif isinstance(value, list):
        yield "longer", [*value, *(value[-1:] or [3])]
        if value:
            yield "empty", []
            yield "shorter", value[:-1]
    else:
        yield "negative", -1


def _at(plain: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        plain = plain[step]
    return plain


def _with(plain: dict[str, Any], path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    whole = copy.deepcopy(plain)
    _at(whole, path[:-1])[path[-1]] = value
    return whole


def _name(path: tuple[str | int, ...]) -> str:
    return "/".join(map(str, path))


def dumped(plain: Any) -> bytes:
    """Write it as JSON, NaN and infinity as Python does."""
    return json.dumps(plain).encode()
