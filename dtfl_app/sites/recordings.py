"""The recordings that the rows of a series are of, and what a channel does in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from dtfl_app.sites.stretches import FROZEN_SAMPLES, run_lengths

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Recordings"]


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """The recording that each of n rows is of; made once for all channels.

    Parameters
    ----------
    number : of each row's recording, from 0 in order of first appearance, shape (n,).
    """

    number: NDArray[np.int32]

    @classmethod
    def of(cls, instance: pd.Series[Any]) -> Self:
        """Number the recordings by their names, one name per row."""
        import pandas as pd  # noqa: PLC0415 - as in `features`

        return cls(pd.factorize(instance, use_na_sentinel=False)[0].astype(np.int32))

    def frozen(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which of n readings repeat for `FROZEN_SAMPLES` or more within a recording."""
        # NaN differs from itself, so a missing reading is a run of its own.
        lengths = run_lengths(self.number, values)
        return np.repeat(lengths >= FROZEN_SAMPLES, lengths)

    def constant(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which of n readings are the one value, `FROZEN_SAMPLES` times or more, of theirs."""
        present = ~np.isnan(values)
        if not values.size:
            return present
        # A recording may lie in several pieces, where a file interleaves them.
        lengths = run_lengths(self.number)
        starts = np.cumsum(lengths) - lengths
        piece, count = self.number[starts], int(self.number.max()) + 1
        low, high = np.full(count, np.nan), np.full(count, np.nan)
        np.fmin.at(low, piece, np.fmin.reduceat(values, starts))
        np.fmax.at(high, piece, np.fmax.reduceat(values, starts))
        readings = np.bincount(piece, np.add.reduceat(present, starts, dtype=np.intp), count)
        constant = (low == high) & (readings >= FROZEN_SAMPLES)
        return np.asarray(constant[self.number] & present)
