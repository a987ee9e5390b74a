"""LPE, layer-wise parameter exchange, for any Flower app.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.logs import log
from dtfl_app.core.settings import Value
from dtfl_app.detector.params import layer_keys
from dtfl_app.flower.strategy import SiteReply, TwinStrategy
from dtfl_app.flower.torch_twin import TorchTwin
from dtfl_app.messages.declaration import is_finite
from dtfl_app.rounds.parameters import Arrays
from dtfl_app.strategies.equations.lpe import (
    ExchangeMap,
    LPESettings,
    exchange,
    round_map,
    static_map,
)

__all__ = ["LPE"]


class LPE(TwinStrategy):
    """Low layers come from the twin, high layers go to it; layers count as in the state_dict.

    Settings: `policy` ("static", "adaptive"), `low`, `high`, `stall` in [0, 1].

    Parameters
    ----------
    score_key : metric of the replies, the lower the better, that tells the adaptive policy when the
        twin no longer helps; its median over the sites counts.

    The task's ConfigRecord lists the arrays that count under "upload-keys". A stock ClientApp
    returns all of them, and those that come from the twin are left out at the server: the model is
    the same, no byte is saved. A client that returns just the listed ones saves the others.
    """

    Settings = LPESettings

    def __init__(
        self,
        twin: TorchTwin,
        *,
        score_key: str = "train_loss",
        **options: Any,  # noqa: ANN401 - of several types
    ) -> None:
        super().__init__(twin, **options)
        self._score_key = score_key
        self._scores: list[float] = []

    def prepare(self) -> None:
        """Let the twin's copy start from the initial model; check the layers' numbers."""
        s = self.settings
        first = static_map(list(self.model), s.low, s.high)
        if s.policy == "static" and first.from_twin == set(self.model):
            log.warning("lpe: all layers come from the twin; the sites' training has no effect")
        self._twin, self._scores = self.model, []

    def wanted_keys(self) -> list[str]:
        """Only what the twin will not overwrite."""
        return [key for key in self.model if key not in self._map().from_twin]

    def site_config(self) -> dict[str, Value | list[str]]:
        """The arrays that count."""
        return {"upload-keys": self.wanted_keys()}

    def update(self, replies: Sequence[SiteReply]) -> Arrays:
        """Train the twin's copy, then exchange layers; note the score that chooses the next."""
        trained = self.twin.train(self._twin)
        model, self._twin = exchange(self.mean(replies), trained, self._map())
        if self.settings.policy == "adaptive":
            self._scores.append(float(np.median([self._score(reply) for reply in replies])))
        return model

    def _score(self, reply: SiteReply) -> float:
        score = reply.metrics.get(self._score_key)
        if not is_finite(score):
            raise ConfigError(
                f"LPE: metric {self._score_key!r} of a reply is {score}, expected a finite number; "
                f'policy="adaptive" needs it, and a reply has {sorted(reply.metrics)}: name one of '
                "these as score_key"
            )
        return float(score)  # type: ignore[arg-type] # checked above

    def _map(self) -> ExchangeMap:
        return round_map(layer_keys(list(self.model)), self.settings, self._scores)
