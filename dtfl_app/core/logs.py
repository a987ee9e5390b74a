"""One logger for both apps: it writes into Flower's log stream and marks its lines as ours.

A line is a sentence for a person. What a program must know of it too stands behind the sentence as
JSON (`tell`), so that nobody has to take sentences apart; `read_line` reads both.
"""

from __future__ import annotations

import json
import logging
import re
import reprlib
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["Line", "log", "one_line", "quoted", "read_line", "tell", "without_colours"]

_MARK = "dtfl: "
# Between sentence and JSON, neither of which can have it: both are written with it escaped.
_TAB = "\t"
_SENTENCE_LIMIT = 4000

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = 6


class _Marked(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        return f"{_MARK}{msg}", kwargs


# A child of Flower's logger: its handlers and level apply, also in a SuperLink's log stream.
log = _Marked(logging.getLogger("flwr.dtfl"), {})


@dataclass(frozen=True, slots=True)
class Line:
    """One of our lines in Flower's log stream.

    Parameters
    ----------
    sentence : for a person.
    warning : whether it was logged as a warning.
    event : the same for a program, as it was told; empty where it was a sentence alone.
    """

    sentence: str
    warning: bool
    event: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What kind of event it tells of; empty where of none."""
        return str(self.event.get("event", ""))


def tell(level: int, sentence: str, event: Mapping[str, object]) -> None:
    """Log a sentence and, for programs, the event that it tells of; its JSON needs a key "event".

    Parameters
    ----------
    level : `logging.INFO` and the like.
    sentence : for a person; made one line.
    event : "event" says of what kind it is.
    """
    log.log(level, "%s%s%s", one_line(sentence, _SENTENCE_LIMIT), _TAB, json.dumps(event))


def read_line(line: str) -> Line | None:
    """Read a line of Flower's log stream; None where it is not ours."""
    before, mark, rest = without_colours(line).partition(_MARK)
    if not mark:
        return None
    sentence, _, data = rest.partition(_TAB)
    event: object = {}
    with suppress(ValueError):
        event = json.loads(data)
    told = event if isinstance(event, dict) else {}
    return Line(sentence.rstrip(), "WARNING" in before, told)


def without_colours(line: str) -> str:
    """Return a line of a terminal without the codes that colour it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


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
