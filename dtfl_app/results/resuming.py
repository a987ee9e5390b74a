"""Where a run is taken up: from its folder, or from one of its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtfl_app.core.errors import CheckpointError
from dtfl_app.core.settings import Value
from dtfl_app.results.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    differences,
    more_rounds,
    named,
)
from dtfl_app.results.lines import METRICS, read_lines

__all__ = [
    "describe_unfinished",
    "find_checkpoint",
    "read_about",
    "require_same_settings",
    "run_folder",
]


def run_folder(resume: Path) -> Path:
    """Return the folder of the run that `resume` names: the folder itself, or a checkpoint in it.

    Raises CheckpointError when there is no run.
    """
    folder = resume.parent.parent if resume.suffix == ".safetensors" else resume
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"resume: {folder} is not the folder of a run (it holds no config.json); expected a "
            "folder such as results/NAME, or a file in its checkpoints/"
        )
    return folder


def find_checkpoint(resume: Path) -> tuple[Path, Checkpoint]:
    """Return the run's folder and the checkpoint to go on from: its latest, or the one named.

    Raises CheckpointError when there is none, it is not what was written, or it is of another run:
    with the same settings that one may have had other sites, and so another scaling.
    """
    folder = run_folder(resume)
    checkpoints = CheckpointFolder(folder / "checkpoints")
    found = checkpoints.latest() if resume == folder else checkpoints.read(resume)
    if found.run != (run := read_about(folder)["run"]):
        raise CheckpointError(
            f"{checkpoints.path}: the checkpoint of {found.strategy} after round {found.round} is "
            f"of the run {found.run or 'that an earlier version wrote'}, and this folder of {run}. "
            "Remove it, or put it back into its own run's folder"
        )
    return folder, found


def read_about(folder: Path) -> dict[str, Any]:
    """Read a run's config.json: its settings, identity and versions."""
    path = folder / "config.json"
    try:
        about: dict[str, Any] = json.loads(path.read_text())
        about["settings"].keys(), about["run"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not the config.json of a run that can be taken up "
            f"({type(error).__name__}: {error})"
        ) from error
    return about


def require_same_settings(
    folder: Path, then: Mapping[str, Value], now: Mapping[str, Value]
) -> None:
    """Raise CheckpointError naming settings that differ from the run's and shape results.

    More rounds may be asked for; whether it can have them, its checkpoint says
    (`require_same_run`).
    """
    found = differences(then, now)
    if more_rounds(then, now):
        del found["rounds"]
    if found:
        raise CheckpointError(
            f"{folder} is a run with other settings: {named(found, 'there')}. Leave them out, or "
            "start a new run"
        )


def describe_unfinished(folder: Path) -> str:
    """Say how far a run has got that has no summary yet, and how it goes on.

    Raises CheckpointError when the folder holds no run.
    """
    settings = read_about(run_folder(folder))["settings"]
    lines = read_lines(folder / METRICS) if (folder / METRICS).exists() else []
    methods = [name.strip() for name in str(settings.get("strategy", "")).split(",")]
    begun = list(dict.fromkeys(line.strategy for line in lines))
    far = "no round is recorded yet"
    if lines:
        place = f" (method {len(begun)} of {len(methods)})" if len(methods) > 1 else ""
        rounds = settings.get("rounds", "?")
        far = f"{begun[-1]}{place} has recorded round {lines[-1].round} of {rounds}"
    stored = any((folder / "checkpoints").glob("*.safetensors"))
    on = f"go on with it: dtfl run resume={folder}" if stored else "start it anew: no checkpoint"
    return (
        f"{folder}: this run has not finished; {far}. If it is not under way any more, {on}; "
        f"a page of what it has so far: dtfl report {folder}"
    )
