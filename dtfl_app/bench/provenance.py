"""What a cell was made with: commit, versions, hardware and date."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from dtfl_app.core.environment import describe_hardware, installed_versions

__all__ = ["Provenance", "provenance_line"]

_PACKAGES = ("dtfl", "flwr", "ray", "torch", "numpy", "wntr")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a figure comes from.

    Parameters
    ----------
    commit : short hash, "-dirty" behind it when source files differ from it; "" without git.
    versions : package -> version, with Python's own.
    hardware : processor, cores and memory.
    date : ISO date of the measurement.
    """

    commit: str
    versions: Mapping[str, str]
    hardware: str
    date: str

    @classmethod
    def here(cls, source: Path) -> Provenance:
        """Describe this machine, this moment and the code in folder `source`."""
        today = datetime.now().astimezone().date().isoformat()
        return cls(
            commit=_commit(source),
            versions=installed_versions(_PACKAGES),
            hardware=describe_hardware(),
            date=today,
        )

    def to_mapping(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)


def provenance_line(command: str, origins: Iterable[Mapping[str, object]]) -> str:
    """One line under a table: the command, and of its cells each commit, date and machine."""
    known = list(origins)
    versions = [o["versions"] for o in known]
    texts = [", ".join(f"{k} {v}" for k, v in m.items()) for m in versions if isinstance(m, dict)]
    dates = sorted({str(o["date"]) for o in known})
    return (
        f"Made by `{command}`; commit {_each(o['commit'] or 'unknown' for o in known)}; "
        f"{' to '.join(dict.fromkeys([*dates[:1], *dates[-1:]]))}; {_each(texts)}; "
        f"{_each(o['hardware'] for o in known)}."
    )


def _each(values: Iterable[object]) -> str:
    return " and ".join(dict.fromkeys(str(v) for v in values))


def _commit(source: Path) -> str:
    head = _git(source, "rev-parse", "--short", "HEAD")
    changed = _git(source, "status", "--porcelain", "--", "*.py", "*.toml", "*.txt")
    return f"{head}-dirty" if head and changed else head


def _git(folder: Path, *words: str) -> str:
    """Output of a git command; "" where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
