"""How a file that a gateway trusts is read: bounded, typed, and refused in words.

msgspec holds the content against a record (`records`); what it says is completed by the file, the
key and the value that is there.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from dtfl_app.core.errors import BundleError
from dtfl_app.core.logs import quoted

__all__ = ["REMEDY", "convert", "parse", "read_file"]

T = TypeVar("T")

#: What to do about a file of a model's folder.
REMEDY = "copy the model's whole folder from its run again"

_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]")


def read_file(path: Path, most: int, remedy: str) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Anything else that bears its name (a FIFO, a device, a folder) is not waited for.

    Raises FileNotFoundError where there is none, BundleError, which says what to do (`remedy`),
    where it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:  # noqa: PTH123 - a path would be opened anew
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BundleError(f"{path} is no file, but a folder, FIFO or device; {remedy}")
            content = file.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}); {remedy}") from error
    if len(content) > most:
        raise BundleError(f"{path} is larger than {most} bytes, expected at most these; {remedy}")
    return content


def parse(content: bytes, where: Path, remedy: str, *, numbers_only: bool = True) -> dict[str, Any]:
    """Return what a JSON file holds, in which no key occurs twice.

    Parameters
    ----------
    content : of the file `where`.
    remedy : what to do if it is none, for the message.
    numbers_only : whether NaN and infinity, which are not JSON, are refused.

    Raises BundleError.
    """
    try:
        found = json.loads(
            content,
            parse_constant=_no_number if numbers_only else None,
            object_pairs_hook=_each_once,
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON as it was written ({error}); {remedy}") from error
    if not isinstance(found, dict):
        raise BundleError(f"{where} holds {quoted(found)}, expected an object; {remedy}")
    return found


def convert(plain: Mapping[str, Any], kind: type[T], where: Path, remedy: str) -> T:
    """Return JSON values as a record; BundleError naming file, key, what is there, what should."""
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        steps = _STEP.findall(place)
        key, found = _located(plain, kind, steps)
        raise BundleError(f"{where}: {key}: {what}, found {found}; {remedy}") from error
    except OverflowError as error:  # an integer that no float can be
        raise BundleError(f"{where}: a number is too large ({error}); {remedy}") from error


def _located(
    plain: Mapping[str, Any], kind: type, steps: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """Key, as a person writes it, and value of a place in JSON.

    msgspec does not say which entry of a mapping is wrong: it is one that alone is refused, too.
    """
    whole, key = json.loads(json.dumps(plain)), ""
    node = whole
    for field, index in steps:
        name = _refused_key(whole, node, kind) if index == "..." else field
        key += f".{name}" if isinstance(node, dict) else f"[{index}]"
        node = node[name] if isinstance(node, dict) else node[int(index)]
    return key.lstrip(".") or "its top", quoted(node)


def _refused_key(whole: dict[str, Any], mapping: dict[str, Any], kind: type) -> str:
    entries = dict(mapping)
    for key, value in entries.items():
        mapping.clear()
        mapping[key] = value
        try:
            msgspec.convert(whole, kind)
        except (msgspec.ValidationError, OverflowError):
            return key
    raise AssertionError("an entry was refused, but each is taken alone")


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key occurs twice among {sorted(key for key, _ in pairs)}")
    return found
