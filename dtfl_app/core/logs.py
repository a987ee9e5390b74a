"""One logger for both apps: it writes into Flower's log stream and marks its lines as ours."""

from __future__ import annotations

import logging
import re
import reprlib
from collections.abc import MutableMapping
from typing import Any

__all__ = ["EVENT_MARK", "MARK", "log", "one_line", "quoted", "without_colours"]

MARK = "dtfl: "
# After it, what happened as JSON.
EVENT_MARK = "event "

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = 6


class _Marked(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        return f"{MARK}{msg}", kwargs


# A child of Flower's logger: its handlers and level apply, also in a SuperLink's log stream.
log = _Marked(logging.getLogger("flwr.dtfl"), {})


def one_line(text: str, limit: int = 300) -> str:
    """Make a text that others wrote fit for a log: one printable line, cut at `limit` characters.

    What does not print (line ends, terminal codes, marks that turn the direction of writing) is
    escaped, so that nobody can write lines of ours or flood the log.
    """
    kept = text[: limit + 1]
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in kept)
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def quoted(value: object) -> str:
    """Write a value that others sent as Python would, cut to what fits into an error message."""
    return one_line(_short.repr(value), limit=120)


def without_colours(line: str) -> str:
    """Drop the terminal codes with which Flower colours its log."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)
