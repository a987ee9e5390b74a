"""FedProx: FedAvg whose sites are held near the model they received.

Li et al., "Federated Optimization in Heterogeneous Networks", 2020, arXiv 1812.06127, equation 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.logs import log
from dtfl_app.core.settings import Value, setting, to_mapping
from dtfl_app.messages.training import ProximalTerm
from dtfl_app.messages.wire import Arrays
from dtfl_app.rounds.workbench import Workbench
from dtfl_app.strategies.fedavg import FedAvg

__all__ = ["FedProx", "FedProxSettings"]


@dataclass(frozen=True, slots=True)
class FedProxSettings:
    """Settings of FedProx; ``mu = 0`` is FedAvg."""

    group: ClassVar[str] = "fedprox"

    mu: float = setting(0.01, "FedProx: weight mu of the pull towards the global model", low=0.0)


class FedProx(FedAvg):
    """Site k minimises ``L_k(w) + mu / 2 * ||w - Theta^(t)||^2``; plain mean at the server."""

    Settings = FedProxSettings
    settings: FedProxSettings

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        super().__init__(name, settings, bench)
        if self.settings.mu == 0:
            log.warning("%s: fedprox.mu = 0, so this is FedAvg", name)

    def site_extras(self) -> tuple[Arrays, dict[str, Value]]:
        """Tell the sites mu; they hold the model it refers to already."""
        return {}, to_mapping(ProximalTerm(self.settings.mu))
