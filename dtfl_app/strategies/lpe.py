"""LPE, layer-wise parameter exchange: low layers come from the twin, high layers go to it.

Belay et al., arXiv 2601.01701; the adaptive policy, ours, answers the paper's call for one: it
begins with all layers from the twin and hands them over to the sites, the last layer first, once
the twin no longer makes the model fit them better. Only layers that the twin will not overwrite are
uploaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dtfl_app.core.logs import log
from dtfl_app.detector.models import find_detector
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.signals import site_score
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.strategies.equations.lpe import (
    ExchangeMap,
    LPESettings,
    exchange,
    round_map,
    static_map,
    twin_layers,
)

__all__ = ["LPE", "ExchangeMap", "LPESettings", "exchange", "static_map", "twin_layers"]


class LPE(DTFLStrategy):
    """Both models go on from their mixed copies; the twin keeps its own from round to round."""

    Settings = LPESettings
    settings: LPESettings

    def prepare(self, state: State) -> State:
        """Let the twin's copy start from the initial model; check the layers' numbers."""
        s = self.settings
        first = static_map(self._layers(state), s.low, s.high)
        if s.policy == "static" and first.from_twin == set(state.model):
            log.warning("lpe: all layers come from the twin; the sites' training has no effect")
        return replace(state, twin=state.model, memory={"scores": np.zeros(0)})

    def upload_keys(self, server_round: int) -> list[str]:
        """Only what the twin will not overwrite."""
        from_twin = self._map(self.state).from_twin
        return [k for k in self.state.model if k not in from_twin]

    def kept_keys(self) -> list[str]:
        """Sites keep the model, so layers that did not change are not sent again."""
        return list(self.state.model)

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Train the twin's copy, then exchange layers; note the scores that choose the next."""
        assert state.twin is not None
        trained = self.twin.train(state.twin)
        model, twin = exchange(self.mean(replies), trained, self._map(state))
        score = site_score([reply.sketches[0] for reply in replies])
        return State(model, twin, {"scores": np.append(state.memory["scores"], score)})

    def _map(self, state: State) -> ExchangeMap:
        """Return the map of the round that begins with `state`."""
        scores = [float(x) for x in state.memory["scores"]]
        return round_map(self._layers(state), self.settings, scores)

    def _layers(self, state: State) -> list[list[str]]:
        """Group the model's keys by layer, as its detector orders them."""
        return find_detector(self.bench.config.detector.model).layer_keys(list(state.model))
