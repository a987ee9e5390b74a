"""The table of scores and alarms as a CSV file that a spreadsheet may open.

A spreadsheet runs a cell that begins like a formula, and names of recordings, events and channels
come from outside. Such a cell is written with an apostrophe before it, which makes it a text, and
read back without.
"""

from __future__ import annotations

import pandas as pd

__all__ = ["alarm_csv", "without_marks"]

# What makes a formula (OWASP, CSV Injection), and the mark itself, so that reading can undo it.
_FORMULA = r"^(?=[=+\-@\t\r'])"
_MARK = r"^'(?=[=+\-@\t\r'])"
_TEXTS = ("instance", "event", "evidence", "channel")


def alarm_csv(alarms: pd.DataFrame) -> bytes:
    """Return the table as CSV in UTF-8."""
    texts = [name for name in _TEXTS if name in alarms]
    marked = {
        name: alarms[name].astype("str").str.replace(_FORMULA, "'", regex=True) for name in texts
    }
    return alarms.assign(**marked).to_csv(index=False).encode()


def without_marks(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that ``pandas.read_csv`` read of what `alarm_csv` wrote, as it was.

    That of a file of before cells were marked is as it is.
    """
    texts = [name for name in _TEXTS if name in table and table[name].dtype.kind not in "biuf"]
    found = {name: table[name].str.replace(_MARK, "", regex=True) for name in texts}
    return table.assign(**found)
