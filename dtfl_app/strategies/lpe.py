"""LPE, layer-wise parameter exchange: low layers come from the twin, high layers go to it.

Belay et al., arXiv 2601.01701; the adaptive policy, ours, answers the paper's call for one: it
begins with all layers from the twin and hands them over to the sites, the last layer first, once
the twin no longer makes the model fit them better. Only layers that the twin will not overwrite are
uploaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.logs import log
from dtfl_app.core.settings import setting
from dtfl_app.detector.models import Params, find_detector
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.signals import site_score
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["LPE", "ExchangeMap", "LPESettings", "exchange", "static_map", "twin_layers"]


@dataclass(frozen=True, slots=True)
class LPESettings:
    """Settings of LPE; static with ``low = 0`` is FedAvg.

    Layers count from 1 at the input; the autoencoder has 4, the classifier 3, another detector as
    many as its `layer_keys` says. A number below 0 counts from the output: -1 is all but the last.
    """

    group: ClassVar[str] = "lpe"

    policy: str = setting(
        "static", "LPE: fixed layers, or all at first", choices=("static", "adaptive")
    )
    low: int = setting(-1, "LPE: layers up to this one come from the twin, in the end")
    high: int = setting(-1, "LPE: layers above this one go to the twin")
    stall: float = setting(
        0.1,
        "LPE adaptive: sites take over a layer when their scores fell by less than this share",
        low=0.0,
        high=1.0,
    )


@dataclass(frozen=True, slots=True)
class ExchangeMap:
    """Which parameter keys move which way; the others are not exchanged."""

    from_twin: frozenset[str]
    to_twin: frozenset[str]


def static_map(layers: Sequence[Sequence[str]], low: int, high: int) -> ExchangeMap:
    """Layers l <= low come from the twin, layers l > high go to it; below 0 counts from the end.

    `layers` : the keys of each layer, input layer first. Raises ConfigError unless
    0 <= low <= high <= number of layers.
    """
    first, last = (n + len(layers) if n < 0 else n for n in (low, high))
    if not 0 <= first <= last <= len(layers):
        raise ConfigError(
            f"run config: lpe.low = {low}, lpe.high = {high}; expected "
            f"lpe.low <= lpe.high <= {len(layers)}, the number of layers"
        )
    return ExchangeMap(
        from_twin=frozenset(k for layer in layers[:first] for k in layer),
        to_twin=frozenset(k for layer in layers[last:] for k in layer),
    )


def exchange(aggregate: Params, twin: Params, which: ExchangeMap) -> tuple[Params, Params]:
    """Return (global model, twin's model) after the exchange.

    `aggregate` may lack the keys that come from the twin.
    """
    model = {k: twin[k] if k in which.from_twin else aggregate[k] for k in twin}
    mixed = {k: aggregate[k] if k in which.to_twin else twin[k] for k in twin}
    return model, mixed


def twin_layers(scores: Sequence[float], layers: int, low: int, stall: float) -> int:
    """Return how many of the lowest layers come from the twin in the next round.

    ``n = max(low, L - #{t : not score_t <= (1 - stall) score_(t-1)})``

    Parameters
    ----------
    scores : the sites' median score of each model so far, >= 0; a NaN counts as a stall.
    layers : L, the number of layers, all from the twin at first.
    low : layers that stay with the twin in the end.
    stall : share in [0, 1] by which a score must fall for the twin to keep its layers.
    """
    stalls = sum(not now <= (1.0 - stall) * before for before, now in pairwise(scores))
    return max(low, layers - stalls)


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
        s, layers = self.settings, self._layers(state)
        if s.policy == "static":
            return static_map(layers, s.low, s.high)
        scores = [float(x) for x in state.memory["scores"]]
        low, high = (n + len(layers) if n < 0 else n for n in (s.low, s.high))
        count = twin_layers(scores, len(layers), low, s.stall)
        return static_map(layers, count, max(count, high))

    def _layers(self, state: State) -> list[list[str]]:
        """Group the model's keys by layer, as its detector orders them."""
        return find_detector(self.bench.config.detector.model).layer_keys(list(state.model))
