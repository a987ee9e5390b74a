"""What a broken sensor may repeat for every row: each is said once an hour."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["RateLimitedLog"]

_HOUR_S = 3600.0


class RateLimitedLog:
    """Logs a message unless one about the same was logged less than an hour ago.

    Parameters
    ----------
    log : where to.
    clock : seconds that never go back.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._said: dict[str, tuple[float, int]] = {}

    def warn(self, about: str, message: str, *values: object) -> None:
        """Log `message` with `values`, and how often it was kept back since it was last said."""
        self._say(logging.WARNING, about, message, *values)

    def info(self, about: str, message: str, *values: object) -> None:
        """Log what is no fault, otherwise as `warn`."""
        self._say(logging.INFO, about, message, *values)

    def _say(self, level: int, about: str, message: str, *values: object) -> None:
        now = self._clock()
        last, kept_back = self._said.get(about, (-_HOUR_S, 0))
        if now - last < _HOUR_S:
            self._said[about] = last, kept_back + 1
            return
        more = f" ({kept_back} more like it in the last hour)" if kept_back else ""
        self._log.log(level, message + more, *values)
        self._said[about] = now, 0
