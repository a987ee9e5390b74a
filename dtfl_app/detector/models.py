"""The two detectors: an autoencoder of normal behaviour and the paper's binary classifier.

Both are plain stacks of linear layers. Layer ``l`` counts from 1 at the input; its parameters are
``layers.<i>.weight`` and ``layers.<i>.bias``. Layer-wise exchange (LPE) relies on that order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = [
    "Detector",
    "ModelSpec",
    "Params",
    "as_params",
    "build_model",
    "get_params",
    "layer_keys",
    "resolve_device",
    "set_params",
]

Params = dict[str, NDArray[np.float32]]
ModelKind = Literal["autoencoder", "classifier"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that determines a detector's architecture.

    Parameters
    ----------
    kind : "autoencoder" scores by reconstruction error, "classifier" by its logit.
    features : number of features d per time step.
    window : number of consecutive time steps w that the model sees at once, >= 1.
    hidden : width of the outer hidden layers.
    latent : width of the innermost layer.
    """

    kind: ModelKind
    features: int
    window: int = 1
    hidden: int = 128
    latent: int = 24

    @property
    def inputs(self) -> int:
        """Length of one input vector: w * d."""
        return self.window * self.features


class Detector(nn.Module):
    """A stack of linear layers with ReLU between them; the last layer is linear.

    The autoencoder maps (n, w*d) to (n, w*d), the classifier (n, w*d) to (n, 1) logits.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        outputs = spec.inputs if spec.kind == "autoencoder" else 1
        middle = [spec.hidden, spec.latent, spec.hidden]
        widths = [spec.inputs, *(middle if spec.kind == "autoencoder" else middle[:2]), outputs]
        stack: list[nn.Module] = []
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            stack += [nn.Linear(fan_in, fan_out)] + ([nn.ReLU()] if i < len(widths) - 2 else [])
        self.layers = nn.Sequential(*stack)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs of shape (n, w*d) to reconstructions (n, w*d) or logits (n, 1)."""
        out: Tensor = self.layers(x)
        return out


def build_model(spec: ModelSpec, seed: int) -> Detector:
    """Build a detector whose initial weights depend on `spec` and `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Detector(spec)


def resolve_device(setting: str) -> torch.device:
    """Return the device that `setting` names; "auto" is CUDA where there is one, else the CPU."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(setting)


def get_params(model: nn.Module) -> Params:
    """Copy the model's parameters out as float32 arrays, input layer first."""
    return {k: v.detach().cpu().numpy().copy() for k, v in model.state_dict().items()}


def set_params(model: nn.Module, params: Params) -> None:
    """Load `params` into `model`; keys and shapes must match exactly."""
    # np.array copies: torch would otherwise train in place on the caller's (maybe read-only) memory
    state = {k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in params.items()}
    model.load_state_dict(state, strict=True)


def as_params(arrays: Mapping[str, NDArray[np.generic]]) -> Params:
    """Read arrays of any number type as parameters."""
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def layer_keys(keys: list[str]) -> list[list[str]]:
    """Group parameter keys by layer: ``["layers.0.weight", "layers.0.bias", ...]`` -> per layer."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(key.rsplit(".", 1)[0], []).append(key)
    return list(groups.values())
