"""What a run is made with: versions of packages, and hardware."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import psutil

__all__ = ["describe_hardware", "installed_versions"]


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Python's version and that of each package, "not installed" for those that are not.

    The app itself may travel as a Flower bundle and not be installed.
    """
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def describe_hardware() -> str:
    """Cores, architecture and memory; no name that tells which machine it is."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores {platform.machine()}, {memory:.0f} GiB"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
