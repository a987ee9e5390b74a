"""Alarms as people count them: an episode is a run of steps with an alarm, told once.

It begins with its first step with an alarm, is over after its last, and never lasts beyond the
stretch of rows that it is in: episodes are those that `scorer.Counts` counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dtfl_app.detection.output import OutputLines, iso
from dtfl_app.detection.scorer import Step

__all__ = ["Episodes", "Told"]

#: Episodes that are kept for the list at the end.
_LISTED = 10


@dataclass(slots=True)
class _Episode:
    """An alarm that goes on.

    Parameters
    ----------
    begin, end : first and latest step, ns since 1970.
    steps : how many there are.
    instance : the recording that they are in.
    peak : time of the step with the highest score so far, ns since 1970.
    judgement : what `OutputLines.judgement` says of that step.
    """

    begin: int
    end: int
    steps: int
    instance: str
    peak: int
    judgement: dict[str, Any]

    def add(self, step: Step, judgement: dict[str, Any]) -> None:
        self.end = step.time
        self.steps += 1
        if _score(judgement) > _score(self.judgement):
            self.peak, self.judgement = step.time, judgement


@dataclass(frozen=True, slots=True)
class Told:
    """An episode as the list at the end names it.

    Parameters
    ----------
    ratio : its peak's score over the threshold.
    text : the rest, in words.
    """

    ratio: float
    text: str

    def __str__(self) -> str:
        return f"{self.ratio:.3g} times the threshold, {self.text}"


class Episodes:
    """Makes episodes of steps, in their order.

    Parameters
    ----------
    output : what writes their lines.

    `strongest` has those that are over with the highest peaks, at most ten.
    """

    def __init__(self, output: OutputLines) -> None:
        self._output = output
        self._open: _Episode | None = None
        self.strongest: list[Told] = []

    def add(self, step: Step, instance: str) -> list[str]:
        """Take in a step; return the lines that it gives rise to."""
        if not step.verdict.alarm:
            return self._over(step.time)
        judgement, time = self._output.judgement(step), step.time
        if self._open is not None:
            self._open.add(step, judgement)
            return []
        self._open = _Episode(time, time, 1, instance, time, judgement)
        return [self._output.alarm(time, instance, "begins", judgement)]

    def interrupt(self) -> list[str]:
        """A stretch ends here, and with it an episode that is open; return its line."""
        return self._over(None)

    def finish(self) -> list[str]:
        """No step follows; return the line of an episode that is still open."""
        return self._over(None, {"open": True})

    def listed(self) -> list[Told]:
        """Return the strongest episodes, one that is still open among them."""
        still = [] if self._open is None else [_told(self._open, ", still going on")]
        return _strongest([*self.strongest, *still])

    def state(self) -> dict[str, Any]:
        """All that later lines depend on, as plain values."""
        return {
            "open": None if self._open is None else asdict(self._open),
            "strongest": [asdict(told) for told in self.strongest],
        }

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a `state`; None = one of before there were episodes."""
        if state is not None:
            self._open = None if state["open"] is None else _Episode(**state["open"])
            self.strongest = [Told(**told) for told in state["strongest"]]

    def _over(self, time: int | None, more: Mapping[str, Any] | None = None) -> list[str]:
        """The line of an episode that the step of `time` ends; without it, it ends where it is."""
        episode, self._open = self._open, None
        if episode is None:
            return []
        ending = more or {}
        self.strongest = _strongest(
            [*self.strongest, _told(episode, ", open where the file ends" if ending else "")]
        )
        found = {
            "begin": iso(episode.begin),
            "end": iso(episode.end),
            "steps": episode.steps,
            "peak": iso(episode.peak),
            **episode.judgement,
            **ending,
        }
        when = episode.end if time is None else time
        return [self._output.alarm(when, episode.instance, "over", found)]


def _score(judgement: Mapping[str, Any]) -> float:
    """The score of a step with an alarm, which JSON could not write if it was infinite."""
    score = judgement["score"]
    return math.inf if score is None else float(score)


def _told(episode: _Episode, ending: str) -> Told:
    score, threshold = _score(episode.judgement), episode.judgement["threshold"]
    steps = f"{episode.steps} step{'s' if episode.steps > 1 else ''}"
    recording = f" of recording {episode.instance!r}" if episode.instance else ""
    message = episode.judgement["message"]
    text = (
        f"{iso(episode.begin)} to {iso(episode.end)} ({steps}{recording}{ending})"
        f"{': ' if message else ''}{message}"
    )
    return Told(score / threshold if threshold else score, text)


def _strongest(told: list[Told]) -> list[Told]:
    """The first of equals stays first."""
    return sorted(told, key=lambda one: -one.ratio)[:_LISTED]
