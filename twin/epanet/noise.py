"""Random variation of water demand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ar1_noise"]

FloatArray = npt.NDArray[np.float64]


def ar1_noise(hours: int, sd: float, ar: float, rng: np.random.Generator) -> FloatArray:
    """Return stationary first-order autoregressive noise.

    e[t] = ar * e[t-1] + sqrt(1 - ar^2) * sd * z[t], with z standard normal and e[0] drawn from
    the stationary distribution, so that every e[t] has standard deviation `sd`. shape: (hours,)
    """
    noise = rng.standard_normal(hours) * sd
    noise[1:] *= np.sqrt(1.0 - ar**2)
    for t in range(1, hours):
        noise[t] += ar * noise[t - 1]
    return noise
