"""A trained detector on disk: parameters, scaling and settings in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dtfl_app.detector.models import ModelSpec, Params
from dtfl_app.errors import DataError
from dtfl_app.results.files import write_atomically

__all__ = ["SavedModel", "load_model", "save_model"]


@dataclass(frozen=True, slots=True, eq=False)
class SavedModel:
    """Everything needed to score a file of sensor data.

    Parameters
    ----------
    spec : architecture.
    params : weights.
    scaler : arrays "mean", "scale", "clip", one entry per feature (clip: one in all).
    threshold : calibrated alarm threshold on the smoothed score.
    smoothing : time steps a score is averaged over.
    features : feature names, in input order.
    schema : digest of the schema the features come from.
    """

    spec: ModelSpec
    params: Params
    scaler: Mapping[str, NDArray[np.generic]]
    threshold: float
    smoothing: int
    features: tuple[str, ...]
    schema: str


def save_model(path: Path, model: SavedModel) -> None:
    """Write the model atomically."""
    tensors = {f"model/{k}": v for k, v in model.params.items()}
    tensors |= {f"scaler/{k}": np.asarray(v) for k, v in model.scaler.items()}
    about = {
        "spec": asdict(model.spec),
        "threshold": model.threshold,
        "smoothing": model.smoothing,
        "features": list(model.features),
        "schema": model.schema,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(tensors, metadata={"dtfl": json.dumps(about)}))


def load_model(path: Path) -> SavedModel:
    """Read what `save_model` wrote; raises DataError when the file is missing or not that."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            about = json.loads(file.metadata()["dtfl"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return SavedModel(
            spec=ModelSpec(**about["spec"]),
            params={k[6:]: v for k, v in tensors.items() if k.startswith("model/")},
            scaler={k[7:]: v for k, v in tensors.items() if k.startswith("scaler/")},
            threshold=about["threshold"],
            smoothing=about["smoothing"],
            features=tuple(about["features"]),
            schema=about["schema"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a model of this app ({error}); expected a .safetensors file from the "
            "models folder of a run"
        ) from error
