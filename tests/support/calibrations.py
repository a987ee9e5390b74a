"""Calibrations of thresholds or scores that a test names."""

import math

import numpy as np

from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.detector.calibration import Calibration, sketch_scores

__all__ = ["calibrated_at", "calibration_of", "detector_settings"]


def calibrated_at(*thresholds: float) -> Calibration:
    """One site whose 2,000 scores of each kind are all the wanted threshold; NaN = no scores."""
    scores = [np.zeros(0) if math.isnan(t) else np.full(2000, float(t)) for t in thresholds]
    sketches = tuple(sketch_scores(s) for s in scores)
    return Calibration(np.full(len(thresholds), -math.inf), {"site": sketches})


def calibration_of(scores, kinds):
    """Two sites with other counts; each kind's scores are the same ones times its number."""
    columns = [[scale * np.array(part) for scale in range(1, kinds + 1)] for part in scores]
    sites = {f"site-{i}": list(map(sketch_scores, column)) for i, column in enumerate(columns)}
    return Calibration(np.full(kinds, -np.inf), sites)


def detector_settings(**changes: object) -> DetectorSettings:
    """Settings that do not smooth unless told to."""
    return DetectorSettings(**{"smoothing": 1, **changes})
