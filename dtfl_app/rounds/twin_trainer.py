"""The twin's side of the learning: one detector trained on synthetic data at the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dtfl_app.core.errors import TwinError
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import Params, set_params
from dtfl_app.detector.training import (
    Distillation,
    Rows,
    TrainingSpec,
    batch_loss,
    gradient,
    train_params,
)

__all__ = ["TwinTrainer"]

# As many rows as tell a loss to a few per cent in a few milliseconds.
_SAMPLE = 1024


class TwinTrainer:
    """Takes gradient steps on the twin's labelled data, for whichever strategy asks.

    Its randomness depends on the seed and the round alone, so a run repeats exactly.

    Parameters
    ----------
    model : a detector of the federation's architecture; its weights are scratch space.
    rows : the twin's data, scaled like the sites'.
    spec : step size and batch size of twin steps.
    steps : mini-batches per round (0 = the twin teaches nothing).
    seed : seed of the mini-batches.

    Raises TwinError when no row is of use to this kind of model.
    """

    def __init__(
        self, model: Detector, rows: Rows, spec: TrainingSpec, steps: int, seed: int
    ) -> None:
        self._model = model
        self._rows = rows.for_model(model)
        if not len(self._rows):
            raise TwinError(
                f"none of the twin's {len(rows)} rows can train the {model.spec.kind}; it needs "
                + ("labelled rows" if model.needs_labels else "normal operation")
                + ', or set twin = "none"'
            )
        self._spec = spec
        self._steps = steps
        self._seed = seed
        self._rng = np.random.default_rng([seed, 0])
        self.steps_done = 0
        # at even distances: whole scenarios lie behind one another, and no random number is drawn
        places = np.linspace(0, len(self._rows) - 1, min(_SAMPLE, len(self._rows))).astype(int)
        self._sample = replace(self._rows, x=self._rows.x[places], y=self._rows.y[places])

    def begin_round(self, server_round: int) -> None:
        """Restart the random mini-batches for this round."""
        self._rng = np.random.default_rng([self._seed, server_round])

    def train(self, params: Params, steps: int | None = None) -> Params:
        """Return `params` after `steps` (default: the round's) Adam steps on twin data."""
        count = self._steps if steps is None else steps
        self.steps_done += count
        return train_params(params, self._model, self._rows, count, self._spec, self._rng)

    def distil(
        self,
        params: Params,
        teachers: Sequence[Params],
        steps: int | None = None,
        weights: Sequence[float] | None = None,
    ) -> Params:
        """Return `params` after `steps` (default: the round's) towards what the teachers say.

        The target on twin inputs is ``sum_k w_k f(x; Theta_k) / sum_k w_k``, of a classifier's
        logits or an autoencoder's reconstructions (Lin et al. 2020, arXiv 2006.07242, AVGLOGITS).

        Parameters
        ----------
        params : the student.
        teachers : at least one, each of the model's shapes.
        weights : of the teachers, >= 0 with a sum above 0; none given = equal.
        """
        tutors = [self._frozen(teacher) for teacher in teachers]
        w = np.full(len(tutors), 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
        shares = (w / w.sum()).tolist()

        def said(x: Tensor) -> Tensor:
            return torch.stack([s * f(x) for s, f in zip(shares, tutors, strict=True)]).sum(dim=0)

        count = self._steps if steps is None else steps
        lesson = Distillation(said, weight=1.0, temperature=1.0)
        self.steps_done += count
        return train_params(params, self._model, self._rows, count, self._spec, self._rng, lesson)

    def _frozen(self, params: Params) -> Detector:
        model = build_model(self._model.spec, seed=0).to(next(self._model.parameters()).device)
        set_params(model, params)
        return model.eval()

    def gradient(self, params: Params, batch_size: int) -> Params:
        """Gradient of the twin loss at `params` over a random batch of `batch_size` rows."""
        index = self._rng.choice(len(self._rows), min(batch_size, len(self._rows)), replace=False)
        self.steps_done += 1
        batch = replace(self._rows, x=self._rows.x[index], y=self._rows.y[index])
        return gradient(params, self._model, batch)

    @property
    def chance(self) -> float:
        """Loss of a model that knows nothing, >= 0 (`Detector.chance`)."""
        return self._model.chance

    def loss(self, params: Params) -> float:
        """Mean loss at `params` over the same rows of twin data, 1024 at most, every time."""
        set_params(self._model, params)
        self._model.eval()
        with torch.no_grad():
            return float(batch_loss(self._model, self._sample))
