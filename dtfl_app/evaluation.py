"""Judging a model at the server, on a labelled set that no site holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.detector.metrics import EventResult, Metrics, evaluate_scores, event_results
from dtfl_app.detector.models import Detector, Params, set_params
from dtfl_app.preparation import Prepared

__all__ = ["Evaluator"]


class Evaluator:
    """Scores the evaluation set with given parameters.

    Parameters
    ----------
    model : a detector of the federation's architecture; its weights are scratch space.
    prepared : the evaluation set, scaled with the federation's scaler.
    smoothing : time steps a score is averaged over.
    step_s : seconds between time steps.
    """

    def __init__(self, model: Detector, prepared: Prepared, smoothing: int, step_s: float) -> None:
        self._model = model
        self._prepared = prepared
        self._smoothing = smoothing
        self._step_s = step_s

    def __call__(self, params: Params, threshold: float) -> Metrics:
        """Return all figures of these parameters at this threshold."""
        set_params(self._model, params)
        features = self._prepared.features
        scores = self._prepared.score(self._model, self._smoothing).total
        return evaluate_scores(scores, threshold, features.label, features.event, self._step_s)

    def alarms(self, params: Params, threshold: float) -> pd.DataFrame:
        """Per time step: instance, time, label, event, score, alarm and the foremost channel.

        That is the feature whose share stands out most from its own median over the set, so that
        a noisy sensor does not explain everything. It says why, it has no part in the score.
        """
        set_params(self._model, params)
        features = self._prepared.features
        scores = self._prepared.score(self._model, self._smoothing)
        return pd.DataFrame(
            {
                "instance": features.instance,
                "time": features.time,
                "label": features.label,
                "event": features.event,
                "score": scores.total,
                "threshold": threshold,
                "alarm": scores.total > threshold,
                "channel": [features.names[i] for i in _foremost(scores.per_channel)],
            }
        )

    @staticmethod
    def events(alarms: pd.DataFrame) -> list[EventResult]:
        """Return what became of each event, from the table of `alarms`."""
        known = alarms[alarms["label"] >= 0]
        return event_results(known["alarm"].to_numpy(), known["event"].to_numpy(dtype=str))


def _foremost(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the feature that stands out per row; `shares` has shape (n, d), all >= 0."""
    usual = np.median(shares, axis=0)
    # The mean keeps features that are usually perfect from standing out by next to nothing.
    foremost: NDArray[np.intp] = (shares / (usual + usual.mean() + 1e-12)).argmax(axis=1)
    return foremost
