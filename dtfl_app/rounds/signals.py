"""Signals of how well model and twin fit the sites, from what travels anyway: no labels.

Together with the loss on twin data they tell a good twin from a wrong one. With a wrong one the
means of its channels lie apart from the sites', and the sites' models have a loss on twin data far
above that on their own; docs/trust.md has figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch

__all__ = ["FAR", "mean_shift", "site_score"]

# A twin whose shift is larger than a site's by this is far from the plant. On two data sets, twins
# that were 10% wrong stayed at 0.16 and all but one kind of those 30% wrong were beyond 0.19.
FAR = 0.18

_MEDIAN = int(np.abs(SKETCH_LEVELS - 0.5).argmin())


def mean_shift(rows: NDArray[np.floating[Any]]) -> float:
    """Return how far rows lie from the sites', ``mean_c |mean_i x_ic|``, in standard deviations.

    Alike plants lie some hundredths from their common mean, wells a third: compare a twin's shift
    with theirs (`FAR`).

    Parameters
    ----------
    rows : in the federation's scaling, shape (n, d), n >= 1: the sites' own mean is 0.
    """
    return float(np.abs(rows.mean(axis=0, dtype=np.float64)).mean())


def site_score(sketches: Sequence[Sketch]) -> float:
    """Return the median over sites of the median calibration score; NaN without scores.

    Medians, so that neither a few odd rows nor one odd site decide.
    """
    medians = [sketch.values[_MEDIAN] for sketch in sketches if sketch.count]
    return float(np.median(medians)) if medians else math.nan
