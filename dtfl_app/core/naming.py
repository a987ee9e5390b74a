"""How runs and the files of a strategy are called, wherever they are written or looked for."""

from __future__ import annotations

from datetime import datetime

__all__ = ["file_name", "run_name"]


def run_name(dataset: str) -> str:
    """Name of a run that begins now, where none is set: local time and data set."""
    return f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{dataset}"


def file_name(strategy: str) -> str:
    """File name, without its ending, for a strategy that may be an import path."""
    return strategy.replace(":", ".")
