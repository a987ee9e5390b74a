"""Watches the twin during a run: one that is wrong or diverges is not used any more."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from dtfl_app.detector.detector import Detector

__all__ = ["TwinGuard", "watched_rounds"]


def watched_rounds(detector: type[Detector], noisy: bool) -> int:
    """Return in how many rounds, from the first, losses on twin data tell a wrong twin.

    Parameters
    ----------
    detector : which says it of itself (`Detector.watched_rounds`).
    noisy : whether sites add noise to their updates (differential privacy): then it is the noise
        that decides, and no round tells.
    """
    return 0 if noisy else detector.watched_rounds


class TwinGuard:
    """Decides from what the server sees anyway whether the twin may go on teaching.

    Once it is not trusted it stays so: the run goes on as FedAvg.

    Parameters
    ----------
    limit : how many times the sites' loss the loss on twin data may be; 0 = any.
    strikes : rounds in a row with unusable parameters after which the twin is off, >= 1.
    rounds : rounds from the first in which the limit holds (`watched_rounds`).
    present : whether there is a twin to trust.
    """

    def __init__(self, limit: float, strikes: int, rounds: int, present: bool = True) -> None:
        self._limit = limit
        self._rounds = rounds
        self._strikes = strikes
        self._trusted = present
        self._in_a_row = 0

    @property
    def trusted(self) -> bool:
        """Whether the twin may be used."""
        return self._trusted

    def watches(self, server_round: int) -> bool:
        """Whether the losses of this round, from 1, are to be checked."""
        return self._trusted and self._limit > 0 and server_round <= self._rounds

    def check_losses(
        self, site_losses: Sequence[float], twin_losses: Sequence[float]
    ) -> str | None:
        """Return why the twin is not used from now on; None where it may be.

        ``median(twin_losses) > limit * median(site_losses)``; medians, so that a minority of
        replies, false or poisoned, cannot take the twin away from all others.

        Parameters
        ----------
        site_losses : mean training loss that each reply claims; at least one.
        twin_losses : loss of each reply's model on twin data, inf where it is not finite.
        """
        site, twin = statistics.median(site_losses), statistics.median(twin_losses)
        if not site > 0 or twin <= self._limit * site:
            return None
        self._trusted = False
        return (
            f"the twin is unlike the sites: the median loss of their models is {twin:.3g} on twin "
            f"data and {site:.3g} on their own, {twin / site:.1f} times less; the limit is "
            f"{self._limit:g}; the run goes on as fedavg"
        )

    def diverged(self) -> str | None:
        """Count a round whose twin step gave unusable values; return why the twin is off, if so."""
        self._in_a_row += 1
        if not self._trusted or self._in_a_row < self._strikes:
            return None
        self._trusted = False
        return (
            f"the twin's step gave unusable values {self._in_a_row} rounds in a row; the run goes "
            "on as fedavg"
        )

    def healthy(self) -> None:
        """Count a round whose parameters were usable."""
        self._in_a_row = 0

    def state(self) -> dict[str, bool | int]:
        """What the rounds so far decided, for a checkpoint."""
        return {"trusted": self._trusted, "strikes": self._in_a_row}

    def restore(self, state: Mapping[str, bool | int]) -> None:
        """Go on from what `state` returned."""
        self._trusted, self._in_a_row = bool(state["trusted"]), int(state["strikes"])
