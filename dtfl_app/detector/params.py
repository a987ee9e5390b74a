"""A model's parameters as arrays.

A model's arrays are all its parameters and buffers of floating-point numbers: they travel, are
averaged, stored and compared. Buffers of whole numbers, such as BatchNorm's count of batches, stay
where they are: their mean means nothing, and no score may depend on what training makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Params", "as_params", "get_params", "layer_keys", "set_params"]

Params = dict[str, NDArray[np.float32]]


def get_params(model: nn.Module) -> Params:
    """Copy the model's arrays out as float32, input layer first."""
    return {
        key: value.detach().cpu().float().numpy().copy()
        for key, value in model.state_dict().items()
        if value.is_floating_point()
    }


def set_params(model: nn.Module, params: Params) -> None:
    """Load `params` into `model`; keys and shapes must match exactly, or RuntimeError."""
    # np.array copies: torch would otherwise train in place on the caller's (maybe read-only) memory
    state = {k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in params.items()}
    kept = {k: v for k, v in model.state_dict().items() if not v.is_floating_point()}
    model.load_state_dict({**state, **kept}, strict=True)
    for module in model.modules():
        # Noise, rounding and steps beyond the mean may have taken a variance below 0.
        if isinstance(variance := getattr(module, "running_var", None), torch.Tensor):
            variance.clamp_(min=0.0)


def as_params(arrays: Mapping[str, NDArray[np.generic]]) -> Params:
    """Read arrays of any number type as parameters."""
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def layer_keys(keys: list[str]) -> list[list[str]]:
    """Group parameter keys by the module that they are of, in the order of the first of each."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(key.rpartition(".")[0], []).append(key)
    return list(groups.values())
