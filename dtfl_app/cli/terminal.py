"""How the command line prints: what comes from outside as it is, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from dtfl_app.core.errors import DTFLError

__all__ = ["clear_errors", "plain_console", "print_error"]


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
    console = plain_console(stderr=True, soft_wrap=True)
    console.print(f"error: {text}", style="red", highlight=False)


def plain_console(
    *, stderr: bool = False, soft_wrap: bool = False, record: bool = False, width: int | None = None
) -> Console:
    """A console that prints text as it is, in tables and titles too.

    Names of events, sites, columns and files come from outside: "a[/2]" is no markup, ":x:" no
    picture. A style is given beside the text, never in it. Parameters are those of Rich's Console.
    """
    return Console(
        stderr=stderr, soft_wrap=soft_wrap, record=record, width=width, markup=False, emoji=False
    )
