"""How the command line tells a person what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from dtfl_app.core.errors import DTFLError

__all__ = ["clear_errors"]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print an error of ours as one message on standard error and leave with code 2."""
    try:
        yield
    except DTFLError as error:
        # One line, however long: a terminal wraps it, a log keeps it whole.
        console = Console(stderr=True, soft_wrap=True)
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None
