"""One finding about a site's file: what, what training does about it, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FileFinding", "Level", "counted"]

Level = Literal["note", "look", "stop"]


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something in a file that its owner should know.

    Parameters
    ----------
    level : "note": good to know; "look": worth a look; "stop": the file cannot be used.
    where : channel, or "time", "labels", "calibration", "file".
    what : what was found, with the data row where there is one.
    training : what training does about it.
    mend : what the owner can do.
    """

    level: Level
    where: str
    what: str
    training: str
    mend: str


def counted(number: int, thing: str) -> str:
    """As in "1 gap", "2 gaps"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
