"""privacy.json: what differential privacy has cost each site, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dtfl_app.core.errors import DataError

__all__ = ["PRIVACY", "Spending", "read_spending"]

#: Name of the file in the folder of a run.
PRIVACY = "privacy.json"


@dataclass(frozen=True, slots=True)
class Spending:
    """The account of a run's noisy updates.

    Parameters
    ----------
    epsilon : strategy -> site -> epsilon spent.
    together : site -> epsilon over all strategies.
    releases : strategy -> site -> noisy updates.
    delta : probability that the promise fails.
    neighbours, accounting : what epsilon is about, and how it was added up, in words.
    not_covered : what leaves a site besides, in words.
    """

    epsilon: Mapping[str, Mapping[str, float]]
    together: Mapping[str, float]
    releases: Mapping[str, Mapping[str, int]]
    delta: float
    neighbours: str
    accounting: str
    not_covered: tuple[str, ...]

    def worst(self) -> dict[str, tuple[str, float]]:
        """Strategy -> the site that has spent most, and its epsilon; those without are left out."""
        return {name: _worst(sites) for name, sites in self.epsilon.items() if sites}

    def worst_together(self) -> tuple[str, float]:
        """The site that has spent most over all strategies, and its epsilon."""
        return _worst(self.together) if self.together else ("", 0.0)


def read_spending(path: Path) -> Spending | None:
    """Read a privacy.json file, None where there is none; raises DataError when it is damaged."""
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text())
        return Spending(
            epsilon={s: _floats(sites) for s, sites in stored["epsilon"].items()},
            together=_floats(stored["epsilon_all_strategies"]),
            releases={s: dict(sites) for s, sites in stored["releases"].items()},
            delta=float(stored["delta"]),
            neighbours=str(stored["neighbours"]),
            accounting=str(stored["accounting"]),
            not_covered=tuple(stored["not_covered"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a privacy account ({type(error).__name__}: {error})"
        ) from error


def _floats(account: Mapping[str, float]) -> dict[str, float]:
    return {site: float(epsilon) for site, epsilon in account.items()}


def _worst(account: Mapping[str, float]) -> tuple[str, float]:
    site = max(sorted(account), key=lambda name: account[name])
    return site, account[site]
