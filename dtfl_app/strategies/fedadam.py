"""FedAdam: the server takes Adam steps, with what the sites learned as gradient.

Reddi et al., "Adaptive Federated Optimization", 2020, arXiv 2003.00295, algorithm 2. The arithmetic
is that of ``flwr.serverapp.strategy.FedAdam``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import flwr.serverapp.strategy as flower
import numpy as np
from flwr.app import Message, MessageType, MetricRecord, RecordDict

from dtfl_app.core.settings import setting
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.wire import prefixed, to_arrays, to_record, with_prefix
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["FedAdam", "FedAdamSettings"]


@dataclass(frozen=True, slots=True)
class FedAdamSettings:
    """Settings of FedAdam, under Flower's names.

    ``beta_1 = beta_2 = 0`` and ``eta = tau``, large, come as near to FedAvg as rounding lets them.
    """

    group: ClassVar[str] = "fedadam"

    eta: float = setting(0.01, "FedAdam: step size at the server", above=0.0)
    beta_1: float = setting(0.9, "FedAdam: memory of the first moment", low=0.0, high=0.999)
    beta_2: float = setting(0.99, "FedAdam: memory of the second moment", low=0.0, high=0.999)
    tau: float = setting(0.001, "FedAdam: lower bound of the second moment's root", above=0.0)


class FedAdam(DTFLStrategy):
    """``Theta^(t+1) = Theta^(t) + eta_t m_t / (sqrt(v_t) + tau)`` per parameter.

    With ``d_t = Theta_agg - Theta^(t)``: ``m_t = beta_1 m_(t-1) + (1 - beta_1) d_t``,
    ``v_t = beta_2 v_(t-1) + (1 - beta_2) d_t^2`` and
    ``eta_t = eta sqrt(1 - beta_2^(t+1)) / (1 - beta_1^(t+1))``, as Flower corrects for the start.
    """

    Settings = FedAdamSettings
    settings: FedAdamSettings
    needs_twin = False

    def prepare(self, state: State) -> State:
        """Begin with moments of zero, as Flower does."""
        zeros = {key: np.zeros_like(value) for key, value in state.model.items()}
        memory = {**prefixed("m", zeros), **prefixed("v", zeros), "updates": np.array(0)}
        return replace(state, memory=memory)

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Move the global model along the mean of the replies."""
        s, memory, count = self.settings, state.memory, int(state.memory["updates"]) + 1
        adam = flower.FedAdam(eta=s.eta, beta_1=s.beta_1, beta_2=s.beta_2, tau=s.tau)
        adam.m_t, adam.v_t = with_prefix("m", memory), with_prefix("v", memory)
        model = _adam_step(adam, state.model, self.mean(replies), count)
        assert adam.m_t is not None and adam.v_t is not None
        moments = {**prefixed("m", adam.m_t), **prefixed("v", adam.v_t)}
        return State(model, memory={**moments, "updates": np.array(count)})


def _adam_step(adam: flower.FedAdam, start: Params, aggregate: Params, count: int) -> Params:
    """Let `adam` make its step number `count` from `start` towards `aggregate`.

    Flower averages messages: it is given one, the mean of the admitted replies, and its own log
    line says so. It returns float64 for float32; replies in float64 would be refused next round.
    """
    metrics = MetricRecord({adam.weighted_by_key: 1})
    content = RecordDict({"arrays": to_record(aggregate), "metrics": metrics})
    adam.current_arrays = dict(start)
    stepped, _ = adam.aggregate_train(count, [Message(content, 0, MessageType.TRAIN)])
    assert stepped is not None
    return {key: array.astype(np.float32) for key, array in to_arrays(stepped).items()}
