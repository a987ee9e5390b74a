"""Whether EPANET takes a network file, and if not, which line of which section is wrong."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from twin.errors import TwinError

__all__ = ["check_file", "faults_in"]

_FAULT = re.compile(r"Error (\d+): (.*?)(?: in \[(\w+)\] section:?)?$")
_SUMMARY = "200"  # one or more errors in input file
_SHOWN = 3


def check_file(path: Path) -> None:
    """Raise TwinError, naming line and section, unless EPANET takes the network file."""
    text = _text(path)
    faults = faults_in(text)
    if faults:
        raise TwinError(f"network file {path}{_described(faults, text)}")


def faults_in(text: str) -> list[tuple[str, str, str]]:
    """Return (what is wrong, section, line) of everything EPANET finds wrong in an input file."""
    # Imported here: wntr takes over a second, which readers of cached twin data are spared.
    from wntr.epanet.exceptions import EpanetException  # noqa: PLC0415 - see above
    from wntr.epanet.toolkit import ENepanet  # noqa: PLC0415 - see above

    # wntr logs each error before it raises it; once is enough.
    logging.getLogger("wntr.epanet.toolkit").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="dtfl-epanet-") as folder:
        names = [str(Path(folder) / f"a.{end}") for end in ("inp", "rpt", "bin")]
        Path(names[0]).write_text(text, encoding="latin-1")
        engine = ENepanet(*names)
        found = None
        try:
            engine.ENopen()
        except EpanetException as error:
            found = str(error)
        with suppress(EpanetException):  # what was never opened cannot be closed: code 102
            engine.ENclose()  # writes the rest of the report
        report = Path(names[1]).read_text(encoding="latin-1", errors="replace")
    return (list(_faults(report)) or [(found, "", "")]) if found else []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except OSError as error:
        raise TwinError(
            f"network file {path}: cannot be read ({error.strerror}); give the path of an EPANET "
            "input file"
        ) from error


def _faults(report: str) -> Iterator[tuple[str, str, str]]:
    lines = report.splitlines()
    for number, line in enumerate(lines):
        fault = _FAULT.search(line)
        if fault and fault[1] != _SUMMARY:
            shown = lines[number + 1].strip() if fault[3] and number + 1 < len(lines) else ""
            yield f"{fault[2].strip()} (EPANET error {fault[1]})", fault[3] or "", shown


def _described(faults: list[tuple[str, str, str]], text: str) -> str:
    said = []
    for what, section, line in faults[:_SHOWN]:
        if not line:
            said.append(f": {what}")
            continue
        number = _line_number(text, section, line)
        said.append(f", line {number}, section [{section}]: {what}: {' '.join(line.split())!r}")
    more = len(faults) - len(said)
    return ";".join(said) + (f"; and {more} more" if more > 0 else "") + "; correct the file"


def _line_number(text: str, section: str, line: str) -> str:
    """Number of a line from 1, looked for from its section's heading on; "?" if not found."""
    inside = False
    for number, found in enumerate(text.splitlines(), 1):
        inside = inside or found.strip().upper().startswith(f"[{section[:4]}")
        if inside and found.split() == line.split():
            return str(number)
    return "?"
