"""How the command line tells a person what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from dtfl_app.core.errors import DTFLError

__all__ = ["clear_errors", "print_error"]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print an error of ours as one message on standard error and leave with code 2."""
    try:
        yield
    except DTFLError as error:
        print_error(str(error))
        raise typer.Exit(2) from None


def print_error(text: str) -> None:
    """Print what went wrong on standard error, as it is."""
    # One line, however long: a terminal wraps it, a log keeps it whole.
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"error: {text}", style="red", markup=False, highlight=False)
