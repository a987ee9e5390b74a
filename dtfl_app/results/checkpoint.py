"""Checkpoints as files: a run between two rounds, with all that the next ones depend on.

A checkpoint is one safetensors file: arrays as tensors, all else as JSON in the header's metadata.
Its first entry is a SHA-256 over the whole file, the digest's own place filled with zeros, so any
copy of the file verifies itself. Nothing is pickled. A folder keeps the last few, numbered in the
order they were written:

``checkpoints/0012-cwa-000010.safetensors``  the run's 12th checkpoint, of cwa after round 10
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dtfl_app.core.config import RunConfig, keys_with
from dtfl_app.core.errors import CheckpointError
from dtfl_app.core.naming import file_name
from dtfl_app.core.renamed import modern
from dtfl_app.core.settings import Value
from twin.files import write_atomically

__all__ = [
    "Checkpoint",
    "CheckpointFolder",
    "StoredCheckpoint",
    "differences",
    "more_rounds",
    "named",
    "require_same_run",
]

_FORMAT = 1
_BLANK = b"0" * 64
# safetensors writes the metadata first, and its one entry begins with version and digest.
_HEAD = re.compile(rb'.{8}\{"__metadata__":\{"dtfl-checkpoint":"(\d+) ([0-9a-f]{64}) ', re.DOTALL)
_NAME = re.compile(r"(\d{4,})-(.+)-(\d{6,})\.safetensors")
_LEFTOVER = re.compile(r"\..+\.safetensors\.\d+")
# JSON has no number that is not finite; an object with this one key stands for it.
_NOT_FINITE = "not finite"
_NAMED = 8


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run between two rounds.

    Parameters
    ----------
    strategy : the method under way.
    round : its last finished round; 0 = none yet.
    settings : run-config key -> value, of those that shape results.
    arrays : named arrays, in an order that is kept; any type and shape that safetensors knows.
    notes : plain JSON values. Numbers that are not finite come back as they were; tuples come back
        as lists, and a mapping's keys are text.
    history : all lines of metrics.jsonl so far, of all methods of the run.
    timings : all lines of timings.jsonl so far.
    run : the identity of the run that it is of; "" of one before it was told.
    """

    strategy: str
    round: int
    settings: Mapping[str, Value]
    arrays: Mapping[str, NDArray[Any]]
    notes: Mapping[str, Any]
    history: Sequence[str]
    timings: Sequence[str]
    run: str = ""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint's file and what became of it.

    Parameters
    ----------
    path : the file.
    number : its place in the order of writing, from 1.
    strategy : the method as the file's name has it.
    round : the round in the file's name.
    size : bytes.
    fault : why it cannot be used; empty = it is good.
    """

    path: Path
    number: int
    strategy: str
    round: int
    size: int
    fault: str


class CheckpointFolder:
    """The checkpoints of one run.

    Parameters
    ----------
    path : their folder; made with the first one.
    keep : how many are kept, at least 2: were the last one damaged, the one before is there.
    """

    def __init__(self, path: Path, keep: int = 2) -> None:
        self.path = path
        self._keep = max(2, keep)

    def write(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then remove the oldest beyond those to keep.

        Raises CheckpointError when it cannot be written; those before it are then still there.
        """
        stored = self._files()
        number = 1 + max((self._number(path) for path in stored), default=0)
        name = f"{number:04d}-{file_name(checkpoint.strategy)}-{checkpoint.round:06d}.safetensors"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            write_atomically(self.path / name, _packed(checkpoint))
            for old in stored[: max(0, len(stored) + 1 - self._keep)]:
                old.unlink()
        except OSError as error:
            raise CheckpointError(
                f"{self.path / name}: the checkpoint cannot be written ({error}); those before it "
                "are as they were. Make room, or let the run write elsewhere (results-dir)"
            ) from error
        return self.path / name

    def latest(self) -> Checkpoint:
        """Read the newest checkpoint; raises CheckpointError where there is none or it is bad.

        An older one never takes its place by itself: the error names it.
        """
        stored = self._files()
        if not stored:
            raise CheckpointError(
                f"{self.path}: no checkpoint here; the setting checkpoint-every says how often one "
                "is written, so this run must be started anew"
            )
        return self.read(stored[-1])

    def read(self, path: Path) -> Checkpoint:
        """Read a checkpoint; raises CheckpointError that names the file and the last good one."""
        try:
            return _unpacked(path.read_bytes())
        except (OSError, CheckpointError) as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
            raise CheckpointError(f"checkpoint {path}: {reason}; {self._offer(path)}") from error

    def stored(self) -> list[StoredCheckpoint]:
        """All checkpoints, the oldest first, each read and verified."""
        return [self._examined(path) for path in self._files()]

    def cut(self, history: Sequence[str]) -> None:
        """Remove what a run taken up after `history` has no use for: later and damaged ones."""
        for path in self._files():
            try:
                kept = list(_unpacked(path.read_bytes()).history)
            except CheckpointError:
                kept = None
            if kept is None or kept != list(history[: len(kept)]):
                path.unlink()

    # --- inside ------------------------------------------------------------------------------

    def _files(self) -> list[Path]:
        found = self.path.iterdir() if self.path.is_dir() else ()
        return sorted((p for p in found if _NAME.fullmatch(p.name)), key=self._number)

    @staticmethod
    def _number(path: Path) -> int:
        match = _NAME.fullmatch(path.name)
        return int(match[1]) if match else 0

    def _remove_leftovers(self) -> None:
        """Half-written files of a process that was killed in the middle."""
        for path in self.path.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                path.unlink()

    def _examined(self, path: Path) -> StoredCheckpoint:
        match = _NAME.fullmatch(path.name)
        assert match is not None
        content, fault = path.read_bytes(), ""
        try:
            _unpacked(content)
        except CheckpointError as error:
            fault = str(error)
        return StoredCheckpoint(path, int(match[1]), match[2], int(match[3]), len(content), fault)

    def _offer(self, bad: Path) -> str:
        """What to do without the checkpoint `bad`."""
        for path in reversed([path for path in self._files() if path.name != bad.name]):
            with suppress(CheckpointError, OSError):
                last = _unpacked(path.read_bytes())
                where = f"{last.strategy} after round {last.round}"
                return f"the last good one is that of {where}: resume={path}"
        return "there is no good one beside it, so the run must be started anew"


def require_same_run(checkpoint: Checkpoint, settings: Mapping[str, Value]) -> None:
    """Raise CheckpointError naming the settings that differ, but for those that shape no result.

    More rounds than the run was to have are no other settings, where it can have them.
    """
    found = differences(checkpoint.settings, settings)
    if more_rounds(checkpoint.settings, settings):
        _require_open_end(checkpoint, settings)
        del found["rounds"]
    if found:
        raise CheckpointError(
            "the checkpoint is of a run with other settings: "
            f"{named(found, 'in the checkpoint')}. Give the checkpoint's settings, or start a new "
            "run"
        )


def more_rounds(then: Mapping[str, Value], now: Mapping[str, Value]) -> bool:
    """Tell whether a run is to have more rounds now than it was to have then."""
    return int(now.get("rounds", 0)) > int(then.get("rounds", 0)) > 0


def _require_open_end(checkpoint: Checkpoint, settings: Mapping[str, Value]) -> None:
    """Raise CheckpointError where more rounds would not end as a longer run from the start."""
    where = f"rounds is {checkpoint.settings['rounds']} in the checkpoint, {settings['rounds']} now"
    ended = {json.loads(line)["strategy"] for line in checkpoint.history} - {checkpoint.strategy}
    if ended:
        raise CheckpointError(
            f"{where}: {', '.join(sorted(ended))} ended with the rounds it had, and has no "
            "checkpoint left to go on from; for more rounds of several methods start a new run"
        )
    if ":" in str(settings.get("strategy", "")):
        raise CheckpointError(
            f"{where}: {settings['strategy']} is a method of your own, whose first rounds may "
            "depend on how many there are to be; for more rounds start a new run"
        )


def differences(
    then: Mapping[str, Value], now: Mapping[str, Value]
) -> dict[str, tuple[Value | None, Value | None]]:
    """Return key -> both values of the settings that differ and shape results, sorted by key."""
    now = modern(now)
    # A setting that came after the run does at its default what was done before there was one.
    defaults = RunConfig.from_mapping({}).to_mapping()
    later = {k: v for k, v in defaults.items() if now.get(k) == v}
    then = {**later, **modern(then)}
    keys = sorted((then.keys() | now.keys()) - keys_with("local", "local-path"))
    return {k: (then.get(k), now.get(k)) for k in keys if then.get(k) != now.get(k)}


def named(found: Mapping[str, tuple[Value | None, Value | None]], where: str) -> str:
    """Write differences in words: what each setting is `where` they come from, and now."""
    words = [f"{k} is {_word(then)} {where}, {_word(now)} now" for k, (then, now) in found.items()]
    more = [f"and {len(words) - _NAMED} more"] if len(words) > _NAMED else []
    return "; ".join(words[:_NAMED] + more)


def _word(value: Value | None) -> str:
    return "not set" if value is None else json.dumps(value)


# --- one file ------------------------------------------------------------------------------------


def _packed(checkpoint: Checkpoint) -> bytes:
    about = {
        "strategy": checkpoint.strategy,
        "round": checkpoint.round,
        "settings": checkpoint.settings,
        "notes": checkpoint.notes,
        "order": list(checkpoint.arrays),
        "history": list(checkpoint.history),
        "timings": list(checkpoint.timings),
        "run": checkpoint.run,
    }
    text = json.dumps(_plain(about, "checkpoint"), allow_nan=False)
    # safetensors copies an array's memory as it lies: a transposed one would come back scrambled.
    arrays = {name: np.asarray(array, order="C") for name, array in checkpoint.arrays.items()}
    # One entry: with several, safetensors' order would change from process to process.
    content = save(arrays, {"dtfl-checkpoint": f"{_FORMAT} {_BLANK.decode()} {text}"})
    head = _HEAD.match(content)
    assert head is not None
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[: head.start(2)] + digest + content[head.end(2) :]


def _unpacked(content: bytes) -> Checkpoint:
    """Inverse of `_packed`; raises CheckpointError that says what is wrong with the content."""
    head = _HEAD.match(content)
    if head is None:
        reason = "empty" if not content else "not a checkpoint of this app, or its head is damaged"
        raise CheckpointError(f"{reason} ({len(content)} bytes)")
    if int(head[1]) != _FORMAT:
        raise CheckpointError(
            f"of format {int(head[1])}, and this version of the app reads format {_FORMAT}"
        )
    whole = content[: head.start(2)] + _BLANK + content[head.end(2) :]
    if hashlib.sha256(whole).hexdigest().encode() != head[2]:
        raise CheckpointError(_damage(content))
    try:
        (text,) = _header(content)["__metadata__"].values()
        about = json.loads(text.split(" ", 2)[2], object_hook=_not_finite)
        # A model's layers are in order; safetensors gives its tensors in any.
        tensors = load(content)
        arrays = {name: tensors[name] for name in about.pop("order")}
        return Checkpoint(arrays=arrays, **about)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"whole, but not in a form this app writes ({error})") from error


def _damage(content: bytes) -> str:
    """Say how a file differs from what was written, as far as its size tells."""
    body = 8 + int.from_bytes(content[:8], "little")
    expected = body
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        tensors = [entry for name, entry in _header(content).items() if name != "__metadata__"]
        expected += max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
    if len(content) < expected:
        return f"cut short ({len(content)} bytes of at least {expected})"
    return "damaged: its content is not what was written (SHA-256 differs)"


def _header(content: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header


def _plain(value: Any, where: str) -> Any:  # noqa: ANN401 - JSON
    """Return a value as JSON can say it; raises TypeError for what would come back as another."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_NOT_FINITE: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    if isinstance(value, Mapping):
        return dict(_plain_entries(value, where))
    raise TypeError(f"{where} is a {type(value).__name__}; expected plain JSON values")


def _plain_entries(mapping: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if not isinstance(key, str) or key == _NOT_FINITE:
            raise TypeError(f"{where} has the key {key!r}; expected text, but not {_NOT_FINITE!r}")
        yield key, _plain(value, f"{where}.{key}")


def _not_finite(entry: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return float(entry[_NOT_FINITE]) if _NOT_FINITE in entry else entry
