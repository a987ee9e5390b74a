"""Times as EPANET files write them, and the [TIMES] of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twin.epanet.inpfile import InpRow, Sections

__all__ = ["Clock", "clock_of", "seconds"]

_UNITS = {"SEC": 1, "MIN": 60, "HOU": 3600, "DAY": 86400}
_HOUR_S, _DAY_S = 3600, 86400
#: What a scenario takes over from the file; the rest is the scenario's own, or about quality.
_KEPT = ("HYDRAULIC", "PATTERN", "START", "RULE")


@dataclass(frozen=True, slots=True)
class Clock:
    """The times of a network file, in s.

    Parameters
    ----------
    duration : what the file describes; 0 = a single moment.
    pattern_step, pattern_start : length of a pattern's step, and where in it time 0 lies.
    start : time of the day at time 0.
    rows : rows of [TIMES] that every scenario keeps.
    """

    duration: int
    pattern_step: int
    pattern_start: int
    start: int
    rows: tuple[InpRow, ...]

    def times(self, hours: int) -> list[InpRow]:
        """Return [TIMES] of a run of so many hours whose steps end on every full hour."""
        return [
            ("DURATION", str(hours * _HOUR_S), "SEC"),
            *self.rows,
            ("REPORT", "TIMESTEP", "1:00"),
        ]

    def repeats(self, time: int, until: int) -> list[int]:
        """Return the times at which a control "AT TIME" acts, up to `until`.

        What a file describes, in whole days, begins anew when it is over; a file of a single
        moment does not.
        """
        period = -(-self.duration // _DAY_S) * _DAY_S
        return list(range(time, max(until, time) + 1, period)) if period else [time]


def clock_of(sections: Sections) -> Clock:
    """Return the times of a network file; ValueError when one cannot be read."""
    rows = sections.get("TIMES", ())

    def value(*words: str, default: int) -> int:
        for row in rows:
            if all(row[i].upper().startswith(word) for i, word in enumerate(words)):
                return seconds(row[len(words) :])
        return default

    return Clock(
        duration=value("DURA", default=0),
        pattern_step=value("PATT", "TIME", default=_HOUR_S),
        pattern_start=value("PATT", "START", default=0),
        start=value("START", "CLOCK", default=0),
        rows=tuple(row for row in rows if row[0].upper().startswith(_KEPT)),
    )


def seconds(words: Sequence[str]) -> int:
    """Return a time in s: "1.5", "1:30", "90 MIN", "5 PM"; ValueError when it is none."""
    number, unit = words[0], words[1].upper() if len(words) > 1 else ""
    if ":" in number:
        parts = [float(part) for part in number.split(":")]
        value = sum(part * scale for part, scale in zip(parts, (3600, 60, 1), strict=False))
    else:
        value = float(number) * _UNITS.get(unit[:3], _HOUR_S)
    if unit in ("AM", "PM"):
        value = value % (12 * _HOUR_S) + (12 * _HOUR_S if unit == "PM" else 0)
    return round(value)
