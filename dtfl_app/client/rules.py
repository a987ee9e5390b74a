"""A method's site half at this site: found, given what is its own, held to what it may send.

What a site keeps of its own for it (`dtfl_app.client.versions`) stands under two prefixes:
``rule/`` for the rule's own state, ``lost/`` for what its extra arrays lost in rounding to 8 bits,
which is added to the next ones (error feedback, as `dtfl_app.messages.wire.compress` has it).
"""

from __future__ import annotations

import numpy as np

from dtfl_app.client.site import Site
from dtfl_app.core.errors import SiteError
from dtfl_app.core.settings import read_settings
from dtfl_app.detector.params import Params, as_params
from dtfl_app.detector.training import TrainingSpec
from dtfl_app.messages.quantise import Quantised, dequantise, quantise
from dtfl_app.messages.training import TrainingTask
from dtfl_app.messages.wire import Arrays, prefixed, with_prefix
from dtfl_app.rounds.site_rule import SiteRule, find_site_rule

__all__ = ["open_rule", "sent_and_kept"]

_RULE, _LOST = "rule", "lost"


def open_rule(site: Site, task: TrainingTask, spec: TrainingSpec, own: Arrays) -> SiteRule:
    """Return the site half that the task names, for this round; one that does nothing for none.

    Parameters
    ----------
    site : whose policy must allow it.
    task : names it, and has its settings.
    spec : how the site trains.
    own : what the site keeps for the method.

    Raises ConfigError where the policy does not allow it, or it cannot be imported here; SiteError
    where arrays besides the layers would leave without the noise that `privacy.dp` promises.
    """
    site.policy.require_rule(task.rule)
    if task.extras and site.config.privacy.dp:
        raise SiteError(
            f"site {site.name}: the task asks for {', '.join(task.extras)} besides the layers, and "
            "privacy.dp puts noise on layers alone; nothing is returned"
        )
    cls = find_site_rule(task.rule) if task.rule else SiteRule
    return cls(read_settings(cls.Settings, task.settings), spec, with_prefix(_RULE, own))


def sent_and_kept(
    rule: SiteRule, extras: Params, task: TrainingTask, own: Arrays
) -> tuple[Quantised, Arrays]:
    """Return the extra arrays as they travel, and what the site keeps of its own from now on.

    Parameters
    ----------
    rule : after training.
    extras : what it returned.
    task : says what is asked for, and in which precision.
    own : what the site kept for the method before.

    Raises SiteError where a rule returns other arrays than its method declares, or keeps some.
    """
    name = type(rule).__name__
    if extras.keys() != task.extras.keys():
        raise SiteError(
            f"site rule {name}: after_training returned {sorted(extras)}, its method's "
            f"upload_extras declares {sorted(task.extras)}; expected the same names"
        )
    if rule.state and task.versions is None:
        raise SiteError(
            f"site rule {name}: it keeps {sorted(rule.state)} from round to round, and its method "
            "does not say so; expected site_state = True in the method's class"
        )
    sent, lost = _compressed(extras, with_prefix(_LOST, own)) if task.tag else ({**extras}, {})
    kept = lost if task.versions is not None else {}
    others = {n: a for n, a in own.items() if n.partition("/")[0] not in (_RULE, _LOST)}
    return sent, {**others, **prefixed(_RULE, rule.state), **prefixed(_LOST, kept)}


def _compressed(extras: Params, lost: Arrays) -> tuple[Quantised, Params]:
    """``q = round((x + e) / s)``, ``e <- x + e - s q``, per array; e of the version before."""
    before = as_params(lost)
    exact = {n: np.asarray(x, np.float32) + before.get(n, 0) for n, x in extras.items()}
    packed = quantise(exact)
    rounded = dequantise(packed)
    return packed, {name: value - rounded[name] for name, value in exact.items()}
