"""LPE, layer-wise parameter exchange: which layers come from the twin, and the exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import setting
from dtfl_app.rounds.parameters import Arrays

__all__ = ["ExchangeMap", "LPESettings", "exchange", "round_map", "static_map", "twin_layers"]


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


def round_map(
    layers: Sequence[Sequence[str]], settings: LPESettings, scores: Sequence[float]
) -> ExchangeMap:
    """Return the map of the round that begins after `scores`, the sites' one per round so far.

    Raises ConfigError for a layer that is none of `layers`.
    """
    low, high = settings.low, settings.high
    if settings.policy == "static":
        return static_map(layers, low, high)
    low, high = (n + len(layers) if n < 0 else n for n in (low, high))
    count = twin_layers(scores, len(layers), low, settings.stall)
    return static_map(layers, count, max(count, high))


def exchange(aggregate: Arrays, twin: Arrays, which: ExchangeMap) -> tuple[Arrays, Arrays]:
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
