"""Did two runs end the same, byte for byte, and if not, where do they first differ?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dtfl_app.core.errors import DataError
from dtfl_app.results.checkpoint import differences, named
from dtfl_app.results.lines import METRICS, read_entries

__all__ = ["Comparison", "compare_runs"]

# What repeats beside models and metrics; compared as bytes.
_OTHERS = ("alarms/*.csv", "calibration.json", "groups.json", "quality.json")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs share and where they part.

    Parameters
    ----------
    lines, tensors, files : how many lines of metrics.jsonl, tensors of models and other files were
        compared.
    differences : the first difference of each file that differs, as sentences; empty = the same.
    settings : settings that differ and shape results, in words; empty = none.
    """

    lines: int
    tensors: int
    files: int
    differences: tuple[str, ...]
    settings: str


def compare_runs(first: Path, second: Path) -> Comparison:
    """Compare the results in the folders of two runs; raises DataError when one is no run's."""
    settings = [_settings(folder) for folder in (first, second)]
    lines = [_lines(folder) for folder in (first, second)]
    models = [_tensors(folder) for folder in (first, second)]
    others = [_contents(folder) for folder in (first, second)]
    found = [
        *_differing_line(*lines),
        *_differing_tensors(*models),
        *_differing_contents(*others),
    ]
    return Comparison(
        lines=max(map(len, lines)),
        tensors=len(models[0] | models[1]),
        files=len(others[0] | others[1]),
        differences=tuple(found),
        settings=named(differences(*settings), "in the first").replace(" now", " in the second"),
    )


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads((folder / "config.json").read_text())["settings"]
        return settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: not the folder of a run ({error})") from error


def _lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / METRICS
    entries = read_entries(path) if path.exists() else []
    # Wall times never repeat.
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in entries]


def _tensors(folder: Path) -> dict[tuple[str, str], NDArray[Any]]:
    """(file, name) -> tensor, of all models: parameters, scaling and calibration."""
    found = {}
    for path in sorted((folder / "models").glob("*.safetensors")):
        try:
            for name, tensor in sorted(load_file(path).items()):
                found[path.name, name] = tensor
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be read as a model ({error})") from error
    return found


def _contents(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for pattern in _OTHERS for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _differing_line(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterator[str]:
    for number, (one, two) in enumerate(zip_longest(first, second), start=1):
        if one == two:
            continue
        where = f"{METRICS}, line {number}"
        if one is None or two is None:
            which = "first" if one is None else "second"
            yield f"{where}: the {which} run ends before it"
        else:
            key = next(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
            figures = f"{key} is {one.get(key)} in the first, {two.get(key)} in the second"
            yield f"{where} ({one['strategy']}, round {one['round']}): {figures}"
        return


def _differing_tensors(
    first: dict[tuple[str, str], NDArray[Any]], second: dict[tuple[str, str], NDArray[Any]]
) -> Iterator[str]:
    told = set()
    for file, name in sorted(first.keys() | second.keys()):
        one, two = first.get((file, name)), second.get((file, name))
        difference = _differing(one, two)
        if difference and file not in told:
            told.add(file)
            yield f"models/{file}, {name}: {difference}"


def _differing(one: NDArray[Any] | None, two: NDArray[Any] | None) -> str:
    """Say how two tensors differ in bytes; empty if they do not."""
    if one is None or two is None:
        return f"only in the {'second' if one is None else 'first'} run"
    if (one.dtype, one.shape) != (two.dtype, two.shape):
        return f"{one.dtype} {one.shape} in the first, {two.dtype} {two.shape} in the second"
    if one.tobytes() == two.tobytes():
        return ""
    # Bytes, not values: -0.0 equals 0.0, and NaN nothing.
    unlike = np.array([a.tobytes() != b.tobytes() for a, b in zip(one.flat, two.flat, strict=True)])
    place = tuple(int(i) for i in np.unravel_index(int(unlike.argmax()), one.shape))
    figures = f"{one[place]!r} in the first, {two[place]!r} in the second"
    return f"{int(unlike.sum())} of {one.size} values differ, first {list(place)}: {figures}"


def _differing_contents(first: dict[str, bytes], second: dict[str, bytes]) -> Iterator[str]:
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            yield f"{name}: only in the {'second' if name not in first else 'first'} run"
        elif first[name] != second[name]:
            pairs = zip_longest(first[name].splitlines(), second[name].splitlines())
            line = next(i for i, (a, b) in enumerate(pairs, start=1) if a != b)
            yield f"{name}: differs from line {line} on"
