"""Parameters in 8 bits: a quarter of the bytes for what a site must hold, or for what changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detector.params import Params

__all__ = ["SCALE", "Quantised", "dequantise", "quantise"]

Quantised = dict[str, NDArray[np.generic]]

# Ends the name of an array's scale.
SCALE = ":scale"


def quantise(params: Params) -> Quantised:
    """Round each array to int8, half to even, with one float32 scale > 0 per array.

    ``q = round(x / s)``, ``s = max |x| / 127``; s = 1 where all values are 0. An array with a value
    that is not finite gets a scale that is not finite.
    """
    out: Quantised = {}
    for key, value in params.items():
        scale = np.float32(np.abs(value).max() / 127.0) or np.float32(1.0)
        with np.errstate(invalid="ignore"):
            # in float64 and clipped: a scale near the smallest float32 is itself rounded
            steps = np.rint(value.astype(np.float64) / float(scale)).clip(-127, 127)
            out[key] = steps.astype(np.int8)
        out[key + SCALE] = np.array([scale], dtype=np.float32)
    return out


def dequantise(arrays: Quantised) -> Params:
    """Inverse of `quantise` up to half a step per value; float32 arrays pass unchanged."""
    params: Params = {}
    for key, value in arrays.items():
        if key.endswith(SCALE):
            continue
        if value.dtype == np.int8:
            scale = np.asarray(arrays[key + SCALE], dtype=np.float32)
            params[key] = value.astype(np.float32) * scale
        else:
            params[key] = value.astype(np.float32)
    return params
