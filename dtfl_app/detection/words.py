"""What an alarm says of the channels behind it: reading, expected value, which way it is off."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dtfl_app.core.evidence import EvidenceKind, LawEvidence
from dtfl_app.detection.scorer import Cause
from dtfl_app.sites.features import channel_of, statistic_of
from twin.schema import Schema

__all__ = ["CauseWords"]

_STATISTICS = {"mean": "mean of {}", "std": "standard deviation of {}", "change": "change of {}"}
_NO_UNIT = ("", "1")
# Digits of a number as people read it, and as many as two close ones may need to be told apart.
_DIGITS, _MOST_DIGITS = 4, 9
# Sizes between which numbers are written without an exponent.
_SMALLEST, _LARGEST = 1e-3, 1e9
# A channel beside the first is worth a word if it makes up so much of the evidence.
_WORTH_SAYING = 0.25


class CauseWords:
    """Puts the channels behind a step's evidence in words.

    Parameters
    ----------
    schema : the channels, their units and kinds.
    kinds : kinds of evidence that the model weighs.
    """

    def __init__(self, schema: Schema, kinds: Sequence[EvidenceKind]) -> None:
        self._channels = {channel.name: channel for channel in schema.channels}
        self._kinds = {kind.name: kind for kind in kinds}

    def direction(self, cause: Cause) -> str | None:
        """Tell whether a reading is "above" or "below" what is expected; None of a state."""
        if cause.reading is None or cause.expected is None or self._is_state(cause.channel):
            return None
        if cause.reading == cause.expected:
            return None
        return "above" if cause.reading > cause.expected else "below"

    def describe(self, cause: Cause, evidence: str) -> str:
        """Say in one phrase what a channel reads and what is expected of it."""
        reading, expected = self._told(cause)
        kind = self._kinds[evidence]
        reason = kind.because if isinstance(kind, LawEvidence) else ""
        if expected:
            way = self.direction(cause)
            reading += f", {way} expected {expected}" if way else f", expected {expected}"
            reading += f" {reason}" if reason else ""
        elif isinstance(kind, LawEvidence) and kind.expects is None and reason:
            reading += f", {reason}"
        return f"{self._name(cause.channel)} {reading}"

    def message(self, causes: Sequence[Cause], evidence: str) -> str:
        """Say the same of the first channel, and of others that make up a quarter or more."""
        told = [c for i, c in enumerate(causes) if not i or c.share >= _WORTH_SAYING]
        return "; ".join(self.describe(cause, evidence) for cause in told)

    def _told(self, cause: Cause) -> tuple[str, str]:
        """Reading and expected value with their unit; "missing", and "" where none is expected."""
        reading, expected = cause.reading, cause.expected
        if expected is not None and self._is_state(cause.channel) and round(expected) != reading:
            expected = float(round(expected))
        digits = _DIGITS
        if reading is not None and expected is not None and reading != expected:
            digits = _digits_apart(reading, expected)
        unit = self._channels[channel_of(cause.channel)].unit
        after = "" if unit in _NO_UNIT else f" {unit}"
        return (
            "missing" if reading is None else f"{_number(reading, digits)}{after}",
            "" if expected is None else f"{_number(expected, digits)}{after}",
        )

    def _is_state(self, feature: str) -> bool:
        channel = self._channels[channel_of(feature)]
        return channel.kind == "status" and feature == channel.name

    @staticmethod
    def _name(feature: str) -> str:
        statistic, channel = statistic_of(feature), channel_of(feature)
        if not statistic:
            return channel
        return _STATISTICS.get(statistic, f"{statistic} of {{}}").format(channel)


def _digits_apart(one: float, other: float) -> int:
    """Significant digits down to the first in which two numbers differ."""
    size, apart = max(abs(one), abs(other)), abs(one - other)
    digits = math.floor(math.log10(size)) - math.floor(math.log10(apart)) + 1
    return min(max(digits, _DIGITS), _MOST_DIGITS)


def _number(value: float, digits: int) -> str:
    rounded = float(f"{value:.{digits}g}") + 0.0  # no -0
    if rounded and not _SMALLEST <= abs(rounded) < _LARGEST:
        return f"{rounded:.{digits}g}"
    return f"{rounded:.10f}".rstrip("0").rstrip(".")
