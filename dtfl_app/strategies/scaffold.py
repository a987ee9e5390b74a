"""SCAFFOLD: control variates keep the steps of unlike sites from drifting apart.

Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", 2020, arXiv
1910.06378, algorithm 1 with option II.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from dtfl_app.core.settings import Value, setting
from dtfl_app.detector.params import Params, as_params, get_params
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.wire import Arrays
from dtfl_app.rounds.parameters import step
from dtfl_app.rounds.site_rule import SiteRule
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.rounds.workbench import Workbench

__all__ = ["SCAFFOLD", "ControlVariates", "SCAFFOLDSettings"]


@dataclass(frozen=True, slots=True)
class SCAFFOLDSettings:
    """Settings of SCAFFOLD."""

    group: ClassVar[str] = "scaffold"

    eta: float = setting(1.0, "SCAFFOLD: the server's step along the sites' mean change", above=0.0)


class ControlVariates(SiteRule):
    """Site k steps by ``y <- y - lr (g - c_k + c)``; then ``c_k <- c_k - c + (x - y) / (K lr)``.

    x is the model received, K the number of steps, c the server's control variate. What goes up is
    the change of c_k; c_k is the site's own, and 0 in its first round.
    """

    def before_training(self, model: nn.Module, received: Arrays) -> None:
        """Take c, and see how far every step is to be pushed: ``c - c_k``."""
        self._start, self._common = get_params(model), as_params(received)
        zeros = {key: np.zeros_like(value) for key, value in self._common.items()}
        self._own = {**zeros, **as_params(self.state)}
        self._push = {
            key: torch.from_numpy(self._common[key] - self._own[key]).to(p.device)
            for key, p in model.named_parameters()
        }

    def after_backward(self, model: nn.Module) -> None:
        """Push the gradient."""
        for key, p in model.named_parameters():
            if p.grad is not None:
                p.grad += self._push[key]

    def after_training(self, model: nn.Module, steps: int) -> Params:
        """Renew c_k; return its change, 0 for what is no parameter of the model but a count."""
        changes = {key: np.zeros_like(value) for key, value in self._own.items()}
        if steps:
            end, learned = get_params(model), [key for key, _ in model.named_parameters()]
            per_step = np.float32(1.0 / (steps * self.spec.lr))
            for key in learned:
                changes[key] = (self._start[key] - end[key]) * per_step - self._common[key]
        self.state = {key: self._own[key] + changes[key] for key in changes}
        return changes


class SCAFFOLD(DTFLStrategy):
    """``x <- x + eta mean_k (y_k - x)``, ``c <- c + S / N mean_k (change of c_k)``, S of N replied.

    A reply that does not count changes neither c nor, from the next task on, its site's c_k: with
    full weights and the plain mean, c is the mean of all c_k after every round.
    """

    Settings = SCAFFOLDSettings
    settings: SCAFFOLDSettings
    needs_twin = False
    site_rule = "scaffold"
    site_state = True

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        super().__init__(name, settings, bench)
        self.require_sgd("its control variates are mean gradients of plain steps", momentum=False)

    def prepare(self, state: State) -> State:
        """Begin with c = 0."""
        return replace(
            state, memory={k: np.zeros(v.shape, np.float32) for k, v in state.model.items()}
        )

    def site_extras(self) -> tuple[Arrays, dict[str, Value]]:
        """Send c."""
        return self.state.memory, {}

    def upload_extras(self) -> Mapping[str, tuple[int, ...]]:
        """Ask for the changes of the c_k."""
        return {key: value.shape for key, value in self.state.model.items()}

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Step along the mean change, of the model and of c."""
        back = [replace(r, params=step(r.base, r.params, 1.0)) for r in replies]  # x - y_k
        model = step(state.model, self.mean(back), self.settings.eta)
        share = len(replies) / len(self.directory.sites)
        control = step(as_params(state.memory), self.mean_extras(replies), -share)
        return State(model=model, memory={**control})
