"""EPANET input files as plain tables of words: read one, change rows, write it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from twin.errors import TwinError

__all__ = ["InpRow", "Sections", "format_inp", "option", "read_inp"]

InpRow = tuple[str, ...]
Sections = Mapping[str, tuple[InpRow, ...]]

_SECTIONS = (
    *("JUNCTIONS", "RESERVOIRS", "TANKS", "PIPES", "PUMPS", "VALVES", "EMITTERS", "CURVES"),
    *("PATTERNS", "STATUS", "CONTROLS", "RULES", "DEMANDS", "TIMES", "OPTIONS"),
)


def read_inp(path: Path) -> Sections:
    """Read an EPANET input file into section name (upper case) -> rows of words.

    Comments and empty lines are dropped. Raises TwinError when the file cannot be read or has no
    sections.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise TwinError(
            f"network file {path}: cannot be read ({error.strerror}); check 'twin.network'"
        ) from error
    sections: dict[str, list[InpRow]] = {}
    for line in text.splitlines():
        words = tuple(line.split(";", 1)[0].split())
        if not words:
            continue
        if words[0].startswith("["):
            rows = sections.setdefault(_heading(words[0]), [])
        elif sections:
            rows.append(words)
    if not sections:
        raise TwinError(f"network file {path}: not an EPANET input file (no [SECTION] in it)")
    return {name: tuple(rows) for name, rows in sections.items()}


def _heading(word: str) -> str:
    """A section's full name; like EPANET, it is known by its first four letters."""
    name = word.strip("[]").upper()
    return next((known for known in _SECTIONS if name[:4] == known[:4]), name)


def option(sections: Sections, key: str, default: str) -> str:
    """Return the value of a key, of one word or two, in [OPTIONS]."""
    found = {" ".join(row[:-1]).upper(): row[-1] for row in sections.get("OPTIONS", ())}
    return found.get(key, default)


def format_inp(sections: Mapping[str, Iterable[InpRow]]) -> str:
    """Return the text of an EPANET input file with these sections."""
    lines: list[str] = []
    for name, rows in sections.items():
        lines += [f"[{name}]", *(" ".join(row) for row in rows), ""]
    return "\n".join([*lines, "[END]", ""])
