"""FedPer: the last layers are each site's own, those before them everybody's.

Arivazhagan et al., "Federated Learning with Personalization Layers", 2019, arXiv 1912.00818,
algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import setting
from dtfl_app.detector.models import find_detector
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.strategy import DTFLStrategy, State

__all__ = ["FedPer", "FedPerSettings"]


@dataclass(frozen=True, slots=True)
class FedPerSettings:
    """Settings of FedPer."""

    group: ClassVar[str] = "fedper"

    layers: int = setting(1, "FedPer: last layers of the detector that are each site's own", low=1)


class FedPer(DTFLStrategy):
    """Site k trains base and own layers together; ``base^(t+1) = (1/K) sum_k base_k``."""

    Settings = FedPerSettings
    settings: FedPerSettings
    needs_twin = False

    def personal_keys(self) -> list[str]:
        """Keys of the last layers, by the detector's order of them."""
        layers = find_detector(self.bench.config.detector.model).layer_keys(list(self.state.model))
        if layers and self.settings.layers >= len(layers):
            raise ConfigError(
                f"run config: fedper.layers = {self.settings.layers}; the detector has "
                f"{len(layers)} layers, and one at least must be everybody's: expected 1 to "
                f"{len(layers) - 1}"
            )
        return list(chain.from_iterable(layers[-self.settings.layers :]))

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Average the base layers; of the others the state keeps the values to begin with."""
        return replace(state, model={**state.model, **self.mean(replies)})
