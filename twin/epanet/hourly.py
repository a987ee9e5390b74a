"""The plant's laws hour by hour, on readings as they come: what `residuals` finds, row for row.

Each function takes one more hour and what it kept of the hours before, shape (m, c) with a column
per channel and no row where a stretch begins. It returns the hour's residuals, shape (c,), and what
to keep for the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin.epanet.laws import BALANCE_HOURS, Laws, Readings

__all__ = ["Hour", "balance_hour", "plc_hour", "pump_hour"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Hour:
    """An hour as the laws see it.

    Parameters
    ----------
    now, before : readings at its end and an hour earlier, each of shape (1,); the same ones where
        a stretch begins.
    slot : hour of the week in which it began, shape (1,).
    """

    now: Readings
    before: Readings
    slot: npt.NDArray[np.int64]


def plc_hour(laws: Laws, hour: Hour, kept: Floats) -> tuple[Floats, Floats]:
    """Return `residuals.plc_contradiction` of one more hour; what is held is kept."""
    held = np.zeros(len(laws.links)) if not len(kept) else kept[0]
    found = np.zeros(len(laws.links))
    for column, link in enumerate(laws.links):
        beyond, ends = laws.contradiction(link, hour.now, hour.before)
        found[column] = max(0.0 if ends[0] else held[column], beyond[0])
    return found, found[None]


def pump_hour(laws: Laws, hour: Hour, kept: Floats) -> tuple[Floats, Floats]:
    """Return `residuals.pump_residual` of one more hour; nothing is kept."""
    return np.concatenate([laws.missed_head(name, hour.now) for name in laws.stations]), kept


def balance_hour(laws: Laws, hour: Hour, kept: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """Return `residuals.balance_residual` of one more hour; the hours of its mean are kept."""
    missed = np.zeros(len(laws.boundaries))
    if len(kept):  # no hour lies before the first row of a stretch
        for row, name in enumerate(laws.boundaries):
            found = laws.imbalance(name, hour.now, hour.before, expected[row], hour.slot)[0]
            missed[row] = 0.0 if np.isnan(found) else found
    hours = np.vstack([kept, missed])[-BALANCE_HOURS:]
    return hours.mean(axis=0), hours
