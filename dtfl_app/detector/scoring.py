"""From a trained detector to one anomaly score per time step, and the channels behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtfl_app.detector.detector import Detector

__all__ = ["Scores", "score", "smooth", "stack_windows", "totals"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """Anomaly scores of n time steps.

    Parameters
    ----------
    total : shape (n,); higher = more abnormal.
    per_channel : shape (n, d); how much each feature contributes, >= 0.
    """

    total: FloatArray
    per_channel: FloatArray


def stack_windows(
    values: NDArray[np.float32], instance: NDArray[np.str_], window: int
) -> NDArray[np.float32]:
    """Give each time step the `window` steps that end at it, oldest first.

    At the start of an instance the first step is repeated, so no step is lost and no window
    spans two instances.

    Parameters
    ----------
    values : shape (n, d).
    instance : shape (n,); equal values mark one uninterrupted stretch.
    window : w >= 1.

    Returns
    -------
    Array of shape (n, w*d).
    """
    if window == 1:
        return values
    position = np.arange(len(values))
    offsets = np.arange(window - 1, -1, -1)
    index = np.maximum(position[:, None] - offsets, _run_starts(instance)[:, None])
    width = window * values.shape[1]  # not -1: a site may have no calibration rows
    stacked: NDArray[np.float32] = values[index].reshape(len(values), width)  # shape: (n, w*d)
    return stacked


@torch.no_grad()
def score(
    model: Detector, x: NDArray[np.float32], instance: NDArray[np.str_], smoothing: int
) -> Scores:
    """Score inputs of shape (n, w*d); the scores of `smoothing` steps are averaged backwards."""
    inputs = _inputs(model, x)
    per_channel = _numbers(model.shares(inputs))
    total = _totals(model, inputs, per_channel)
    return Scores(
        total=smooth(total[:, None], instance, smoothing)[:, 0],
        per_channel=smooth(per_channel, instance, smoothing),
    )


@torch.no_grad()
def totals(model: Detector, x: NDArray[np.float32]) -> FloatArray:
    """Score inputs of shape (n, w*d) without asking for the features behind it; shape (n,)."""
    return _totals(model, _inputs(model, x), None)


def smooth(values: FloatArray, instance: NDArray[np.str_], steps: int) -> FloatArray:
    """Trailing mean over up to `steps` rows of the same instance; shape (n, k) in and out."""
    if steps <= 1 or len(values) == 0:
        return values
    sums = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(end - steps, _run_starts(instance))
    means: FloatArray = (sums[end] - sums[begin]) / (end - begin)[:, None]
    return means


def _run_starts(instance: NDArray[np.str_]) -> NDArray[np.int64]:
    """Index of the first row of each row's instance, shape (n,)."""
    if len(instance) == 0:
        return np.zeros(0, dtype=np.int64)
    first = np.concatenate([[True], instance[1:] != instance[:-1]])
    return np.maximum.accumulate(np.where(first, np.arange(len(instance)), 0))


def _inputs(model: Detector, x: NDArray[np.float32]) -> Tensor:
    """Move the inputs to the model, which scores and does not train."""
    model.eval()
    return torch.from_numpy(np.ascontiguousarray(x)).to(next(model.parameters()).device)


def _totals(model: Detector, inputs: Tensor, per_channel: FloatArray | None) -> FloatArray:
    total = model.total(inputs)
    if total is not None:
        return _numbers(total)
    shares = _numbers(model.shares(inputs)) if per_channel is None else per_channel
    mean: FloatArray = shares.mean(axis=1)
    return mean


def _numbers(values: Tensor) -> FloatArray:
    numbers: FloatArray = values.double().cpu().numpy()
    return numbers
