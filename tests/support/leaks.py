"""Readings looked for in what leaves a site."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Readings"]

LENGTH = 4


class Readings:
    """Every run of four neighbouring readings of some rows, along a row and along a channel.

    Runs with fewer than three different readings are left out: two pumps that stand still are no
    secret, and zeros are everywhere. Readings are compared as float32.
    """

    def __init__(self, *rows: NDArray[np.generic]) -> None:
        runs = [_runs(part) for matrix in rows for part in (matrix, matrix.T)]
        self._known = np.unique(np.concatenate(runs))

    def found_in(self, array: NDArray[np.generic]) -> int:
        """Count the runs that occur in `array`, read along its rows and along its columns."""
        matrix = np.atleast_2d(np.asarray(array))
        whole = [matrix.reshape(1, -1), matrix.reshape(-1, order="F")[None]]
        runs = np.concatenate([_runs(part) for part in whole])
        place = np.searchsorted(self._known, runs).clip(max=len(self._known) - 1)
        return int((self._known[place] == runs).sum())


def _runs(matrix: NDArray[np.generic]) -> NDArray[np.uint64]:
    """One number per run of `LENGTH` values along each row of `matrix`."""
    values = np.ascontiguousarray(matrix, dtype=np.float32) + np.float32(0)  # -0 is 0
    if values.shape[1] < LENGTH:
        return np.zeros(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(values, LENGTH, axis=1).reshape(-1, LENGTH)
    different = (np.diff(np.sort(windows, axis=1), axis=1) != 0).sum(axis=1) >= 2
    bits = np.ascontiguousarray(windows[different]).view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(1).integers(2**63, size=LENGTH, dtype=np.uint64) | np.uint64(1)
    return (bits * factors).sum(axis=1, dtype=np.uint64)
