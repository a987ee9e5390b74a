"""A round's replies as one model: by the run's rule, their updates perhaps shortened before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dtfl_app.core.errors import FederationError
from dtfl_app.core.sections import TrustSettings
from dtfl_app.detector.params import Params
from dtfl_app.rounds.norms import typical_norm, update_norm
from dtfl_app.rounds.rules import RULES, rule_of

__all__ = ["aggregate", "clip_updates", "shortfall"]


def aggregate(
    replies: Sequence[Params], weights: Sequence[float], settings: TrustSettings
) -> Params:
    """Make one model of the replies by the rule ``settings.aggregation``.

    Parameters
    ----------
    replies : each site's layers, sorted by site; all have the keys of the first.
    weights : how much each counts, >= 0; one of weight 0 takes no part. Krum chooses whatever the
        weights and multi-Krum takes the weighted mean of the chosen.
    settings : the rule, and what it leaves out. With too few replies for the rule it is the one
        that `shortfall` names.

    Raises FederationError when all weights are 0, or a rule of somebody's own gives no model.
    """
    counted = [(reply, weight) for reply, weight in zip(replies, weights, strict=True) if weight]
    if not counted:
        raise FederationError(f"all {len(replies)} replies have weight 0, so there is no aggregate")
    params, w = [reply for reply, _ in counted], [weight for _, weight in counted]
    rule, name = rule_of(settings), settings.aggregation
    merged = rule.merge(params, w)
    return merged if name in RULES.built_in else _checked(name, merged, params[0])


def shortfall(replies: int, settings: TrustSettings) -> str | None:
    """Say what the rule lacks with so few replies of weight, and what stands in; None if nothing.

    Parameters
    ----------
    replies : number of replies with a weight above 0.
    """
    return rule_of(settings).shortfall(replies)


def clip_updates(replies: Sequence[Params], base: Params, factor: float) -> list[Params]:
    """Shorten updates to `factor` times the round's typical norm, their direction kept.

    ``Theta_k <- Theta + min(1, factor m / ||Theta_k - Theta||) (Theta_k - Theta)``, m the median of
    all norms above 0; without any, or with factor 0, nothing is shortened.

    Parameters
    ----------
    replies : each site's layers.
    base : the model that the sites received; may hold more layers.
    factor : >= 0; 0 = none.
    """
    norms = [update_norm(reply, base) for reply in replies]
    limit = factor * typical_norm(norms)
    return [
        _shortened(reply, base, limit / norm) if 0 < limit < norm else reply
        for reply, norm in zip(replies, norms, strict=True)
    ]


def _shortened(reply: Params, base: Params, share: float) -> Params:
    return {
        key: (base[key] + share * (value.astype(np.float64) - base[key])).astype(np.float32)
        for key, value in reply.items()
    }


def _checked(rule: str, model: object, like: Params) -> Params:
    """Return what a rule of somebody's own made of replies, if it is a model such as they are."""
    if not isinstance(model, dict) or model.keys() != like.keys():
        found = sorted(model) if isinstance(model, dict) else type(model).__name__
        raise _no_model(rule, f"{found}, expected layers {sorted(like)}")
    for key, value in like.items():
        layer = np.asarray(model[key])
        if layer.shape != value.shape or not np.issubdtype(layer.dtype, np.floating):
            raise _no_model(
                rule, f"layer {key!r} as {layer.dtype} {layer.shape}, expected {value.shape}"
            )
        if not np.isfinite(layer).all():
            raise _no_model(rule, f"layer {key!r} with values that are not finite")
    return {key: np.asarray(model[key], dtype=np.float32) for key in like}


def _no_model(rule: str, found: str) -> FederationError:
    return FederationError(f"trust.aggregation = {rule!r} gives {found}; mend its merge")
