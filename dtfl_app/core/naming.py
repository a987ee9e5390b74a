"""How runs, sites and the files of a strategy are called, wherever they are written or read."""

from __future__ import annotations

from datetime import datetime

__all__ = ["SITE_NAME", "file_name", "is_site_name", "run_name"]

_LONGEST = 64
#: What the name of a site must be, in words.
SITE_NAME = f"1 to {_LONGEST} characters that print, without a space at either end"


def run_name(dataset: str) -> str:
    """Name of a run that begins now, where none is set: local time and data set."""
    return f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{file_name(dataset)}"


def file_name(strategy: str) -> str:
    """File name, without its ending, for a strategy that may be an import path."""
    return strategy.replace(":", ".")


def is_site_name(name: str) -> bool:
    """Tell whether a site may be called so: names stand in logs, files and on terminals."""
    return 0 < len(name) <= _LONGEST and name.isprintable() and name == name.strip()
