"""A limit on how far one reply may move the model, that follows how far replies have moved it.

What is measured is the length of an update, ``||Theta_k - Theta||``. It shrinks by orders of
magnitude as a run goes on, so no fixed limit would do.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.params import Params

__all__ = ["ExtrasBound", "NormBound", "typical_norm", "update_norm"]

# Rounds whose medians make the running one: three must be wrong before it is.
_ROUNDS = 5
# Fewer replies than these cannot say which of them is the odd one.
_LEAST = 3


def update_norm(params: Params, base: Params | None = None) -> float:
    """Return ``||Theta_k - Theta||_2`` over the keys of `params`, summed in float64.

    Parameters
    ----------
    params : the layers of a reply.
    base : the model that the site received; may hold more layers; None = zeros.
    """
    squares = (
        float(np.square(value.astype(np.float64) - (base[key] if base else 0.0)).sum())
        for key, value in params.items()
    )
    return math.sqrt(sum(squares))


def typical_norm(norms: Sequence[float]) -> float:
    """Return the median of those norms that are above 0; 0 if none is.

    A reply that changes nothing says nothing of how long an update is; were it counted, sites that
    send the model back would shrink the limit for all others.
    """
    moved = [norm for norm in norms if norm > 0]
    return statistics.median(moved) if moved else 0.0


class NormBound:
    """Refuses updates longer than `limit` times the running median.

    ``bound = limit * median(m_(t-5), ..., m_(t-1))``, ``m_t = min(typical norm of round t, bound)``

    The first round is measured by its own typical norm, unless it has fewer than three replies: two
    cannot say which of them is the odd one, and are let through.

    While fewer than half of a round's updates are hostile, m_t lies among the honest norms,
    whatever the others send: they cannot raise the bound. Where chance draws a hostile majority,
    the running median, once it spans five rounds, takes three of those to move, and then by a
    factor of `limit` at most. The same rule lets a federation whose updates really became longer
    go on: refused as a majority, they raise the bound within three rounds.

    A lone reply has no peers: it is measured, but moves the running median only if there is none.

    Parameters
    ----------
    limit : at least 1, or 0 for no bound.
    history : m_t of the rounds so far, to go on from.

    Raises ConfigError for a limit between 0 and 1: it would refuse more than half of all replies.
    """

    _what: ClassVar[str] = "its update is {} long, the limit is {}, {} times the running median"

    def __init__(self, limit: float, history: Sequence[float] = ()) -> None:
        if 0 < limit < 1:
            raise ConfigError(
                f"run config: trust.norm-limit = {limit:g}; expected 0 (none) or at least 1, since "
                "half of all updates are longer than their median"
            )
        self._limit = limit
        self._history = list(history)[-_ROUNDS:]

    @property
    def history(self) -> list[float]:
        """Medians of the last rounds, the oldest first; a `NormBound` made with them goes on."""
        return list(self._history)

    def refusals(self, norms: Mapping[str, float]) -> dict[str, str]:
        """Return site -> reason for those to refuse, and remember the round.

        Parameters
        ----------
        norms : site -> length of its update, >= 0.
        """
        if not self._limit:
            return {}
        typical = typical_norm(list(norms.values()))
        bound = self._bound(typical, replies=len(norms))
        if typical and (len(norms) > 1 or not self._history):
            self._remember(min(typical, bound))
        return {
            site: self._what.format(f"{norm:.3g}", f"{bound:.3g}", f"{self._limit:g}")
            for site, norm in norms.items()
            if norm > bound
        }

    def _remember(self, typical: float) -> None:
        self._history = [*self._history, typical][-_ROUNDS:]

    def _bound(self, typical: float, replies: int) -> float:
        if self._history:
            return self._limit * statistics.median(self._history)
        return self._limit * typical if typical and replies >= _LEAST else math.inf


class ExtrasBound(NormBound):
    """Refuses extra arrays longer than `limit` times the longest that were typical of a round.

    A site that is drawn for the first time late in a run sends as much as all sites did at first,
    while those that were asked before send little: the running median would refuse it.
    """

    _what = "its extra arrays are {} long, the limit is {}, {} times the longest typical of a round"

    def _remember(self, typical: float) -> None:
        self._history = [max([*self._history, typical])]
