"""What a check of a machine found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["CheckResult", "Verdict", "failed", "good", "warning"]

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's outcome.

    Parameters
    ----------
    check : its name.
    verdict : ok; warning, the machine can join but will have trouble; failed, it cannot.
    found : what is so.
    mend : what to do; empty where nothing is to be done.
    """

    check: str
    verdict: Verdict
    found: str
    mend: str = ""

    def to_mapping(self) -> dict[str, str]:
        """Return it as texts by name."""
        return asdict(self)


def good(check: str, found: str) -> CheckResult:
    """Return a finding that needs nothing."""
    return CheckResult(check, "ok", found)


def warning(check: str, found: str, mend: str) -> CheckResult:
    """Return a finding that will be trouble."""
    return CheckResult(check, "warning", found, mend)


def failed(check: str, found: str, mend: str) -> CheckResult:
    """Return a finding that keeps the machine from joining."""
    return CheckResult(check, "failed", found, mend)
