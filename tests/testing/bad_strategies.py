"""Strategies that each break one promise."""

from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from dtfl_app.core.settings import setting
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.strategies.fedavg import FedAvg

__all__ = ["Explosive", "Forgetful", "Thirsty", "Unseeded"]


def _scaled(state: State, factor: float) -> State:
    return replace(state, model={k: (factor * v).astype(v.dtype) for k, v in state.model.items()})


class Forgetful(FedAvg):
    """Remembers in an attribute how many rounds it has played; a checkpoint does not."""

    played = 0

    def update(self, state, replies):
        self.played += 1
        return _scaled(super().update(state, replies), 1 - 0.1 / self.played)


class Unseeded(FedAvg):
    """Draws noise from a generator that no seed reaches."""

    draws = count()

    def update(self, state, replies):
        return _scaled(super().update(state, replies), 1 + 1e-3 * next(self.draws))


@dataclass(frozen=True)
class ExplosiveSettings:
    share: float = setting(0.5, "what the model is divided by", low=0.0, high=1.0)


class Explosive(DTFLStrategy):
    """Divides by a setting that may be 0."""

    Settings = ExplosiveSettings
    needs_twin = False

    def update(self, state, replies):
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self.mean(replies)
            return State({k: v / np.float32(self.settings.share) for k, v in mean.items()})


class Thirsty(FedAvg):
    """Takes every site's reply for there."""

    def update(self, state, replies):
        if len(replies) < 3:
            raise KeyError("north")
        return super().update(state, replies)
