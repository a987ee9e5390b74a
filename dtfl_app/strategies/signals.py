"""A signal of how well a model fits the sites, from what travels anyway: no labels, no extra data.

Together with the loss on twin data it tells a good twin from a wrong one. With a wrong one the loss
on twin data is far above the sites' loss in the first round, and the sites' scores stay above those
of a run without a twin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch

__all__ = ["site_score"]

_MEDIAN = int(np.abs(SKETCH_LEVELS - 0.5).argmin())


def site_score(sketches: Sequence[Sketch]) -> float:
    """Return the median over sites of the median calibration score; NaN without scores.

    Medians, so that neither a few odd rows nor one odd site decide.
    """
    medians = [sketch.values[_MEDIAN] for sketch in sketches if sketch.count]
    return float(np.median(medians)) if medians else math.nan
