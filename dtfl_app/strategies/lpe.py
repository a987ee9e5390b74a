"""LPE, layer-wise parameter exchange: low layers come from the twin, high layers go to it.

Belay et al., arXiv 2601.01701; the adaptive policy answers the paper's call for one.
Only layers that the twin will not overwrite are uploaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dtfl_app.detector.models import Params, layer_keys
from dtfl_app.errors import ConfigError
from dtfl_app.logs import log
from dtfl_app.settings import setting
from dtfl_app.strategies.admission import Reply
from dtfl_app.strategies.base import DTFLStrategy, State
from dtfl_app.strategies.parameters import flat

__all__ = ["LPE", "ExchangeMap", "LPESettings", "disagreement", "exchange", "most_disputed"]


@dataclass(frozen=True, slots=True)
class LPESettings:
    """Settings of LPE; static with ``lpe_low = 0`` is FedAvg.

    Layers count from 1 at the input; the autoencoder has 4, the classifier 3. A number below 0
    counts from the output: -1 is all layers but the last.
    """

    lpe_policy: str = setting(
        "static", "LPE: fixed layers, or by measured drift", choices=("static", "adaptive")
    )
    lpe_low: int = setting(-1, "LPE: layers up to this one come from the twin")
    lpe_high: int = setting(-1, "LPE: layers above this one go to the twin")
    lpe_probe: int = setting(5, "LPE adaptive: all layers are uploaded every n-th round", low=1)


@dataclass(frozen=True, slots=True)
class ExchangeMap:
    """Which parameter keys move which way; the others are not exchanged."""

    from_twin: frozenset[str]
    to_twin: frozenset[str]


def static_map(keys: list[str], low: int, high: int) -> ExchangeMap:
    """Layers l <= low come from the twin, layers l > high go to it; below 0 counts from the end.

    Raises ConfigError unless 0 <= low <= high <= number of layers.
    """
    layers = layer_keys(keys)
    first, last = (n + len(layers) if n < 0 else n for n in (low, high))
    if not 0 <= first <= last <= len(layers):
        raise ConfigError(
            f"run config: lpe-low = {low}, lpe-high = {high}; expected "
            f"lpe-low <= lpe-high <= {len(layers)}, the number of layers"
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


def disagreement(replies: Sequence[Params], aggregate: Params, start: Params) -> list[float]:
    """Per layer: mean distance of a reply from the aggregate over the aggregate's own move.

    Above 1 the sites pull apart more than they move together. 0 where nothing moved.
    """
    ratios = []
    for layer in layer_keys(list(aggregate)):
        centre, origin = (flat({k: p[k] for k in layer}) for p in (aggregate, start))
        spread = np.mean([np.linalg.norm(flat({k: r[k] for k in layer}) - centre) for r in replies])
        move = float(np.linalg.norm(centre - origin))
        ratios.append(float(spread) / move if move else 0.0)
    return ratios


def most_disputed(ratios: Sequence[float], keys: list[str]) -> ExchangeMap:
    """Take the half of the layers that sites dispute most from the twin; the others go to it."""
    layers = layer_keys(keys)
    order = sorted(range(len(layers)), key=lambda i: (-ratios[i], i))
    taken = set(order[: len(layers) // 2])
    return ExchangeMap(
        from_twin=frozenset(k for i in taken for k in layers[i]),
        to_twin=frozenset(k for i in order if i not in taken for k in layers[i]),
    )


class LPE(DTFLStrategy):
    """Both models go on from their mixed copies; the twin keeps its own from round to round."""

    Settings = LPESettings
    settings: LPESettings

    def prepare(self, state: State) -> State:
        """Let the twin's copy start from the initial model; fix the first map."""
        s = self.settings
        self._map = static_map(list(state.model), s.lpe_low, s.lpe_high)
        if s.lpe_policy == "static" and self._map.from_twin == set(state.model):
            log.warning("lpe: all layers come from the twin; the sites' training has no effect")
        return replace(state, twin=state.model)

    def upload_keys(self, server_round: int) -> list[str]:
        """Only what the twin will not overwrite; everything in a probe round."""
        if self._probes(server_round):
            return list(self.state.model)
        return [k for k in self.state.model if k not in self._map.from_twin]

    def kept_keys(self) -> list[str]:
        """Sites keep the model, so layers that did not change are not sent again."""
        return list(self.state.model)

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Train the twin's copy, then exchange layers."""
        assert state.twin is not None
        aggregate = self.mean(replies)
        if set(aggregate) == set(state.model) and self.settings.lpe_policy == "adaptive":
            ratios = disagreement([r.params for r in replies], aggregate, state.model)
            self._map = most_disputed(ratios, list(state.model))
        model, twin = exchange(aggregate, self.twin.train(state.twin), self._map)
        return State(model=model, twin=twin)

    def _probes(self, server_round: int) -> bool:
        s = self.settings
        return s.lpe_policy == "adaptive" and (server_round - 1) % s.lpe_probe == 0
