"""Versions of what a site keeps of its own for a method, named by the method and a round."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Versions"]


@dataclass(frozen=True, slots=True)
class Versions:
    """Which version of its own arrays a site goes on from, and which it keeps.

    The server names it, since it alone knows which replies counted: a site whose reply was refused
    goes on from the version before, and one whose server took up a checkpoint from the version of
    then. So server and site never disagree on what the site remembers.

    Parameters
    ----------
    start : the version to go on from, e.g. "scaffold/4"; empty = there is none yet.
    result : the version that this task makes; empty = it makes none.
    keep : further versions that the server may go back to: at a checkpoint, or for a late reply.
    """

    start: str
    result: str = ""
    keep: tuple[str, ...] = ()
