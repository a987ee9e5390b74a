"""Sites that poison a federation: what they make of their honest update.

A site's update is what its training adds to the model it received. Sign flip, scaling and noise
are the usual baselines of the field (e.g. Blanchard et al., NeurIPS 2017); label flip poisons the
data (Biggio et al., ICML 2012); "a little is enough" hides within the spread of honest updates
(Baruch et al., NeurIPS 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from weakref import WeakSet

import numpy as np
from flwr.app import Context, Message, RecordDict

from dtfl_app.client.site import Site, open_site
from dtfl_app.detector.params import Params, as_params
from dtfl_app.messages.training import TrainingTask
from dtfl_app.messages.wire import prefixed, receive, to_arrays, to_record, with_prefix

__all__ = [
    "ATTACKS",
    "altered",
    "attack_text",
    "gaussian",
    "little_is_enough",
    "little_z",
    "scaled",
    "sign_flipped",
]

Handler = Callable[[Message, Context], Message]

ATTACKS = ("sign-flip", "scaling", "gaussian", "label-flip", "little-is-enough")

_FLIP_FACTOR = 4.0
_SCALE_FACTOR = 10.0
_NOISE_FACTOR = 10.0
# Ours: with 10 sites and 2 attackers the published bound is 0, and no attack is left.
_LEAST_Z = 1.0

_label_flippers: WeakSet[Site] = WeakSet()


def sign_flipped(update: Params, factor: float = _FLIP_FACTOR) -> Params:
    """Go the other way: ``-factor * u``."""
    return {key: -np.float32(factor) * value for key, value in update.items()}


def scaled(update: Params, factor: float = _SCALE_FACTOR) -> Params:
    """Go too far: ``factor * u``."""
    return {key: np.float32(factor) * value for key, value in update.items()}


def gaussian(update: Params, rng: np.random.Generator, factor: float = _NOISE_FACTOR) -> Params:
    """Drown it in noise: ``u + N(0, (factor * rms(u))^2)``, the root mean square per array."""
    return {
        key: (value + rng.normal(0.0, factor * _rms(value), value.shape)).astype(np.float32)
        for key, value in update.items()
    }


def little_is_enough(updates: Sequence[Params], z: float) -> Params:
    """Stay within the spread: ``mean - z * std`` per parameter, over the attackers' own updates.

    Baruch et al. 2019, algorithm 3: the attackers take their own honest updates for a sample of
    all honest ones, and all send the same.

    Parameters
    ----------
    updates : the attackers' honest updates.
    z : standard deviations, >= 0.
    """
    stacked = {key: np.stack([update[key] for update in updates]) for key in updates[0]}
    return {
        key: (values.mean(axis=0) - z * values.std(axis=0)).astype(np.float32)
        for key, values in stacked.items()
    }


def little_z(sites: int, attackers: int) -> float:
    """Largest z at which enough honest updates lie further out (Baruch et al. 2019, equation 4).

    ``s = floor(n / 2 + 1) - m``, ``z = Phi^-1((n - m - s) / (n - m))``
    """
    needed = sites // 2 + 1 - attackers
    honest = sites - attackers
    return NormalDist().inv_cdf((honest - needed) / honest)


def attack_text(attack: str, attackers: Sequence[int], sites: int) -> str:
    """Write an attack as a run-config value, as `altered` reads it."""
    z = max(little_z(sites, len(attackers)), _LEAST_Z) if attack == "little-is-enough" else 0.0
    return f"{attack}:{'+'.join(map(str, attackers))}:{z:.4f}" if attackers else ""


def altered(honest: Handler, text: str, results: Path) -> Handler:
    """Let the attackers named in `text` poison their training replies."""
    if not text:
        return honest
    attack, places, z = text.split(":")
    attackers = [int(place) for place in places.split("+")]

    def handler(message: Message, context: Context) -> Message:
        malicious = context.node_config["partition-id"] in attackers
        if not malicious or message.metadata.message_type != "train":
            return honest(message, context)
        if attack == "label-flip":
            _flip_labels(open_site(context))
            return honest(message, context)
        before = _at(context, int(context.node_config["partition-id"]))
        reply = honest(message, context)
        base, update = _base(message, before), _update(message, before, reply)
        if attack == "little-is-enough":
            updates = [
                _update(message, before, honest(message, _at(before, place))) for place in attackers
            ]
            poisoned = little_is_enough(updates, float(z))
        else:
            poisoned = _poisoned(attack, update, _rng(message, before))
        sent = {key: base[key] + value for key, value in poisoned.items()}
        reply.content["arrays"] = to_record(prefixed("model", sent))
        return reply

    return handler


def _poisoned(attack: str, update: Params, rng: np.random.Generator) -> Params:
    if attack == "sign-flip":
        return sign_flipped(update)
    if attack == "scaling":
        return scaled(update)
    if attack == "gaussian":
        return gaussian(update, rng)
    raise ValueError(f"attack {attack!r} is unknown; expected one of {ATTACKS}")


def _flip_labels(site: Site) -> None:
    """Let a site's normal rows count as abnormal and the other way round; once."""
    if site in _label_flippers:
        return
    features = site.data.features_train
    known = features.label >= 0
    flipped = np.where(known, 1 - features.label, features.label).astype(np.int8)
    site.data = replace(site.data, features_train=replace(features, label=flipped))
    _label_flippers.add(site)


def _at(context: Context, place: int) -> Context:
    """A copy of the context, at the site of another place: attackers share what they know."""
    node = {**context.node_config, "partition-id": place}
    state = RecordDict(dict(context.state.items()))
    return Context(context.run_id, context.node_id, node, state, context.run_config)


def _base(message: Message, context: Context) -> Params:
    """Parameters that the message asks to start from."""
    own = _at(context, int(context.node_config["partition-id"]))
    return as_params(with_prefix("model", receive(message.content, own)))


def _update(message: Message, context: Context, reply: Message) -> Params:
    base = _base(message, context)
    sent = as_params(with_prefix("model", to_arrays(reply.content.array_records["arrays"])))
    return {key: value - base[key] for key, value in sent.items()}


def _rng(message: Message, context: Context) -> np.random.Generator:
    number = TrainingTask.unpack(message).server_round
    return np.random.default_rng([int(context.node_config["partition-id"]), number])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
