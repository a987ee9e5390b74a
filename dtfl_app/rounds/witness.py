"""The twin as a witness: what a model of the plant makes of each site's reply.

A reply that does far worse on twin data than the replies beside it is suspect, whatever its length
and direction. Losses of one round are compared with each other and not with earlier ones or with
the model that was sent: where the twin itself trains that model, every honest reply is worse on
twin data than it, and the change says nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.twin_trainer import TwinTrainer

__all__ = ["suspects", "weigh", "witness_losses"]

# Fewer replies than these cannot say which of them is the odd one.
_LEAST = 3


def witness_losses(replies: Sequence[Reply], model: Params, twin: TwinTrainer) -> dict[str, float]:
    """Return site -> mean loss of its model over the twin's fixed sample; inf if not finite.

    Parameters
    ----------
    replies : of one round; layers that one lacks are those of `model`.
    model : what the sites started from.
    twin : the witness.
    """
    losses = {reply.site: twin.loss({**model, **reply.params}) for reply in replies}
    return {site: loss if math.isfinite(loss) else math.inf for site, loss in losses.items()}


def weigh(losses: Mapping[str, float], limit: float, floor: float = 0.0) -> dict[str, float]:
    """Return site -> weight in [0, 1]: full up to the bound, none from twice the bound on.

    ``w_k = min(1, max(0, 2 - L_k / B))``, ``B = max(floor, limit * median(L))``

    The median is that of all replies, so it lies among the honest ones while these are the
    majority. With one or two replies nobody can be compared, and with a median that is infinite
    the witness itself is to be doubted: all weigh 1.

    Parameters
    ----------
    losses : site -> loss on twin data, >= 0, or inf.
    limit : above 1.
    floor : loss up to which nobody is suspect, >= 0 (`TwinTrainer.chance`): of two classifiers that
        are both good, one may have ten times the loss of the other.
    """
    bound = _bound(losses, limit, floor)
    return {site: _weight(loss, bound) for site, loss in losses.items()}


def suspects(losses: Mapping[str, float], limit: float, floor: float = 0.0) -> dict[str, str]:
    """Return site -> reason for those above the bound; parameters and bound as in `weigh`."""
    bound = _bound(losses, limit, floor)
    return {
        site: f"its model's loss on twin data is {loss:.3g}, the limit is {bound:.3g}; the median "
        f"of {len(losses)} replies is {statistics.median(losses.values()):.3g}"
        for site, loss in losses.items()
        if loss > bound
    }


def _bound(losses: Mapping[str, float], limit: float, floor: float) -> float:
    if len(losses) < _LEAST:
        return math.inf
    return max(floor, limit * statistics.median(losses.values()))


def _weight(loss: float, bound: float) -> float:
    if loss <= bound:
        return 1.0
    return max(0.0, 2.0 - loss / bound) if bound else 0.0
