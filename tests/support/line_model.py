"""The smallest autoencoder, and what a twin teaches it: numbers that can be followed by hand.

Of the parameters of `line(b)` all are 0 but the last bias, b: the model says b whatever it sees.
The hidden layers output 0 and get no gradient, so training moves b alone, and the first step of
Adam moves it by the step size towards the data, whatever the slope.
"""

import numpy as np

from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import Params, get_params
from dtfl_app.detector.training import Rows, TrainingSpec
from dtfl_app.rounds.twin_trainer import TwinTrainer

__all__ = ["LAST", "LINE", "bias", "line", "line_twin"]

LINE = ModelSpec("autoencoder", features=1, hidden=1, latent=1)
LAST = "layers.6.bias"


def line(b: float, **others: float) -> Params:
    """Parameters with last bias `b`; `others` name further entries: ``layers_0_bias=-1``."""
    params = {k: np.zeros_like(v) for k, v in get_params(build_model(LINE, seed=0)).items()}
    params[LAST][:] = b
    for key, value in others.items():
        params[key.replace("_", ".")][:] = value
    return params


def bias(params: Params) -> float:
    """What the model says."""
    return float(params[LAST][0])


def line_twin(target: float, lr: float = 0.5, steps: int = 1) -> TwinTrainer:
    """A twin whose every reading is `target`: one step moves b by `lr` towards it."""
    readings = np.full((8, 1), target, dtype=np.float32)
    rows = Rows.from_numpy(readings, np.zeros(8, dtype=np.int8))
    return TwinTrainer(build_model(LINE, seed=0), rows, TrainingSpec(lr, 8), steps, seed=0)
