"""Model parameters in 8 bits: a quarter of the bytes for what a constrained site must hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detector.models import Params

__all__ = ["dequantise", "quantise"]

Quantised = dict[str, NDArray[np.generic]]

_SCALE = ":scale"


def quantise(params: Params) -> Quantised:
    """Round each array to int8 with one float32 scale per array (symmetric, max |x| -> 127)."""
    out: Quantised = {}
    for key, value in params.items():
        scale = float(np.abs(value).max()) / 127.0
        # in float64, as a scale below the smallest float32 would divide by zero
        out[key] = np.rint(value.astype(np.float64) / (scale or 1.0)).astype(np.int8)
        out[key + _SCALE] = np.array([scale], dtype=np.float32)
    return out


def dequantise(arrays: Quantised) -> Params:
    """Inverse of `quantise` up to half a step per value; float32 arrays pass unchanged."""
    params: Params = {}
    for key, value in arrays.items():
        if key.endswith(_SCALE):
            continue
        if value.dtype == np.int8:
            scale = float(np.asarray(arrays[key + _SCALE], dtype=np.float32)[0])
            params[key] = (value.astype(np.float32) * scale).astype(np.float32)
        else:
            params[key] = value.astype(np.float32)
    return params
