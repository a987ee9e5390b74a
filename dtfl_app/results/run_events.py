"""What happened in a run besides its rounds' figures: one line of events.jsonl each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtfl_app.core.errors import DataError

__all__ = ["EVENTS", "RunEvent", "read_events"]

#: Name of the file in the folder of a run.
EVENTS = "events.jsonl"


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that an operator may ask about later.

    Parameters
    ----------
    kind : one word, e.g. "refused", "late", "away", "returned", "repeated", "twin-off", "resumed";
        "round" (it has ended) and "failed" (the run has) are told in the log, not stored.
    strategy : the method that was running; empty where none was.
    round : its round.
    site : the site concerned; empty where none is.
    reason : why, as a sentence for a person.
    figures : the numbers behind it.
    """

    kind: str
    strategy: str = ""
    round: int = 0
    site: str = ""
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON, as `entries` has it."""
        return json.dumps(self.entries())

    def entries(self) -> dict[str, object]:
        """All that is not empty, by name; figures that are not finite become None."""
        figures = {k: v if math.isfinite(v) else None for k, v in self.figures.items()}
        entries = {
            "event": self.kind,
            "strategy": self.strategy,
            "round": self.round,
            "site": self.site,
            "reason": self.reason,
            **figures,
        }
        return {key: value for key, value in entries.items() if value != ""}

    def describe(self) -> str:
        """The event as a sentence for a person."""
        where = f"{self.strategy} round {self.round}: " if self.strategy else ""
        who = f"{self.site} " if self.site else ""
        figures = ", ".join(f"{name} {value:g}" for name, value in self.figures.items())
        details = "; ".join(part for part in (self.reason, figures) if part)
        return f"{where}{who}{self.kind}" + (f": {details}" if details else "")

    @staticmethod
    def from_json(text: str) -> RunEvent:
        """Read what `to_json` wrote; raises DataError when it is not that."""
        try:
            entries: dict[str, Any] = dict(json.loads(text))
            kind = str(entries.pop("event"))
            words = {key: str(entries.pop(key, "")) for key in ("strategy", "site", "reason")}
            number = int(entries.pop("round", 0))
            figures = {k: math.nan if v is None else float(v) for k, v in entries.items()}
            return RunEvent(kind, round=number, figures=figures, **words)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"not a line of {EVENTS} ({error}): {text[:80]!r}") from error


def read_events(path: Path) -> list[RunEvent]:
    """Read an events.jsonl file; a run in which nothing happened has none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [RunEvent.from_json(line) for line in lines if line]
