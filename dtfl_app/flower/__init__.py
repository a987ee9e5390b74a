"""The paper's methods as strategies for any Flower app: stock ClientApps, any torch model.

::

    twin = TorchTwin(model_fn, loss_fn, loader, steps=100, lr=1e-3)
    CWA(twin, fraction_evaluate=0.0).start(grid, ArrayRecord(model_fn().state_dict()))

Each is a `flwr.serverapp.strategy.FedAvg` and takes its arguments too. Detectors, data sets, the
gate and thresholds of DTFL's own app are not part of it, and are not imported.
"""

from dtfl_app.flower.cwa import CWA
from dtfl_app.flower.dtkd import DTKD, read_teacher
from dtfl_app.flower.dtml import DTML
from dtfl_app.flower.fpf import FPF
from dtfl_app.flower.lpe import LPE
from dtfl_app.flower.strategy import SiteReply, TwinStrategy
from dtfl_app.flower.torch_twin import TorchTwin

__all__ = [
    "CWA",
    "DTKD",
    "DTML",
    "FPF",
    "LPE",
    "SiteReply",
    "TorchTwin",
    "TwinStrategy",
    "read_teacher",
]
