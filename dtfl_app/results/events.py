"""What happened in a run besides its rounds' figures: one line of events.jsonl each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that an operator may ask about later.

    Parameters
    ----------
    kind : one word, e.g. "refused", "late", "away", "returned", "repeated", "twin-off", "resumed".
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
        """One line of JSON, without empty entries; figures that are not finite become null."""
        figures = {k: v if math.isfinite(v) else None for k, v in self.figures.items()}
        entries = {
            "event": self.kind,
            "strategy": self.strategy,
            "round": self.round,
            "site": self.site,
            "reason": self.reason,
            **figures,
        }
        return json.dumps({key: value for key, value in entries.items() if value != ""})
