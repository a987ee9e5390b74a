"""Lines of output: steps, alarms that begin and are over, drift; one JSON object each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.detection.drift import ALARMS, DriftChange
from dtfl_app.detection.scorer import Step
from dtfl_app.detection.words import CauseWords

__all__ = ["OutputLines", "drift_words", "iso"]


class OutputLines:
    """Writes what the detector says of a site's steps.

    Parameters
    ----------
    bundle : the detector.
    site : name of the site, in each line; "" = in none.
    """

    def __init__(self, bundle: Bundle, site: str) -> None:
        self._version, self._site = bundle.version, site
        self._words = CauseWords(bundle.site_schema.schema, bundle.kinds)

    def step(self, step: Step, instance: str) -> str:
        """Write a step, whether it raises an alarm or not."""
        found = {"alarm": step.verdict.alarm, **self._judgement(step)}
        return self._line(step.time, instance, found)

    def judgement(self, step: Step) -> dict[str, Any]:
        """Return what an alarm says of one of its steps: score, evidence, channels, words."""
        message = self._words.message(step.causes, step.evidence)
        return {**self._judgement(step), "message": message}

    def alarm(self, time: int, instance: str, state: str, found: Mapping[str, Any]) -> str:
        """Write that an alarm begins or is over."""
        return self._line(time, instance, {"event": "alarm", "state": state, **found})

    def drift(self, time: int, instance: str, change: DriftChange, steps: int) -> str:
        """Write that a drift, looked for in so many steps, begins or is over."""
        found = {
            "event": "drift",
            "state": "begins" if change.begins else "over",
            "evidence": change.kind,
            "scores": "higher" if change.higher else "lower",
            "distance": round(change.distance, 4),
            "limit": change.limit,
            "steps": steps,
        }
        return self._line(time, instance, found)

    def _judgement(self, step: Step) -> dict[str, Any]:
        verdict = step.verdict
        return {
            "score": _finite(verdict.score),
            # Without calibration scores there is no threshold, and no alarm.
            "threshold": _finite(verdict.threshold),
            "p_value": verdict.p_value,
            "evidence": step.evidence,
            "channels": [
                {
                    "channel": cause.channel,
                    "share": round(cause.share, 4),
                    "reading": cause.reading,
                    "expected": cause.expected,
                    "direction": self._words.direction(cause),
                    "message": self._words.describe(cause, step.evidence),
                }
                for cause in step.causes
            ],
        }

    def _line(self, time: int, instance: str, found: Mapping[str, Any]) -> str:
        said = {"site": self._site, "instance": instance}
        who = {key: name for key, name in said.items() if name}
        whole = {"time": iso(time), **who, **found, "model": self._version}
        return json.dumps(whole, ensure_ascii=False, allow_nan=False)


def drift_words(change: DriftChange) -> str:
    """Say what drifted, for the log."""
    if change.kind == ALARMS:
        return "share of steps with an alarm"
    way = "higher" if change.higher else "lower"
    return f"{change.kind} evidence of normal operation {way} than in calibration, distance"


def iso(time: int) -> str:
    """Return a time (ns since 1970) as ISO 8601, without zone, as fine as it is."""
    moment = datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(
        microseconds=time // 1000
    )
    return moment.isoformat()


def _finite(value: float) -> float | None:
    """A number as JSON can write it."""
    return value if math.isfinite(value) else None
