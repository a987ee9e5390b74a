"""FedBN: layers that normalise are each site's own, for sites whose readings lie differently.

Li et al., "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", 2021,
arXiv 2102.07623, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.models import build_model
from dtfl_app.inputs.preparation import model_spec
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["FedBN"]

# Batch and instance normalisation of any dimension share a base, which torch does not name.
_NORMALISING = (_NormBase, nn.LayerNorm, nn.GroupNorm)


class FedBN(DTFLStrategy):
    """FedAvg of all but the detector's normalisation: its weights, biases, means and variances."""

    needs_twin = False

    def personal_keys(self) -> list[str]:
        """Keys of the modules that normalise; ConfigError for a detector without any."""
        return [key for key in self.state.model if key.rpartition(".")[0] in self._modules]

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Average the others; of these the state keeps the values to begin with."""
        return replace(state, model={**state.model, **self.mean(replies)})

    @cached_property
    def _modules(self) -> set[str]:
        settings, features = self.bench.config.detector, len(self.bench.agreement.scaler["mean"])
        model = build_model(model_spec(settings, features), seed=0)
        found = {name for name, m in model.named_modules() if isinstance(m, _NORMALISING)}
        if not any(key.rpartition(".")[0] in found for key in model.state_dict()):
            raise ConfigError(
                f"strategy {self.name!r}: detector.model = {settings.model!r} has no layer that "
                "normalises (BatchNorm, InstanceNorm, LayerNorm, GroupNorm) with parameters, so no "
                'layer would be a site\'s own; use a detector that has one, or strategy "fedper"'
            )
        return found
