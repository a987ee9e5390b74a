"""A trained detector on disk: parameters, scaling and settings in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dtfl_app.core.errors import DataError
from dtfl_app.detector.calibration import SKETCH_LEVELS, Calibration, Sketch
from dtfl_app.detector.detector import Detector, ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import Params, set_params
from twin.files import write_atomically

__all__ = ["OwnLayers", "SavedModel", "load_model", "pack_model", "save_model"]


@dataclass(frozen=True, slots=True)
class OwnLayers:
    """What a model lacks, since each site has values of its own of it.

    Parameters
    ----------
    keys : of the parameters; the model holds what every site began with.
    versions : site -> the version of its own, as its state names it, that goes with the model.
    """

    keys: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class SavedModel:
    """Everything needed to score a file of sensor data.

    Parameters
    ----------
    spec : architecture.
    params : weights.
    scaler : arrays "mean", "scale", "clip", one entry per feature (clip: one in all), and below
        "sites/NAME/" those of a site that has its own.
    physics : arrays that physical evidence needs: "demand", mean demand in L/s, shape (5, 168).
    calibration : scores of normal operation at the sites; they give thresholds and p-values.
    evidence : kinds of evidence, as the setting names them.
    false_alarm_rate : wanted share of normal steps with an alarm.
    smoothing : time steps that the smoothed residual is averaged over.
    features : feature names, in input order.
    schema : digest of the schema the features come from.
    own_layers : what it lacks; None = it is whole.
    """

    spec: ModelSpec
    params: Params
    scaler: Mapping[str, NDArray[np.generic]]
    physics: Mapping[str, NDArray[np.generic]]
    calibration: Calibration
    evidence: str
    false_alarm_rate: float
    smoothing: int
    features: tuple[str, ...]
    schema: str
    own_layers: OwnLayers | None = None

    def detector(self) -> Detector:
        """Build the detector with its weights.

        Raises ConfigError where its class cannot be imported here, DataError where the class has
        changed since, so that the weights are not its own.
        """
        found = build_model(self.spec, 0)
        try:
            set_params(found, self.params)
        except RuntimeError as error:
            raise DataError(
                f"the weights of the stored model are not those of detector.model = "
                f"{self.spec.kind!r} as it is here: {error}; use the code that it was trained with"
            ) from error
        return found


def save_model(path: Path, model: SavedModel) -> None:
    """Write the model atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, pack_model(model))


def pack_model(model: SavedModel) -> bytes:
    """Return the content of a model's file."""
    tensors: dict[str, NDArray[np.generic]] = {f"model/{k}": v for k, v in model.params.items()}
    tensors |= {f"scaler/{k}": np.asarray(v) for k, v in model.scaler.items()}
    tensors |= {f"physics/{k}": np.asarray(v) for k, v in model.physics.items()}
    tensors |= _calibration_tensors(model.calibration)
    about = {
        "spec": _without_nothing(asdict(model.spec)),
        "sites": sorted(model.calibration.sites),
        "calibration-trim": model.calibration.trim,
        "own-thresholds": model.calibration.own,
        "evidence": model.evidence,
        "false-alarm-rate": model.false_alarm_rate,
        "smoothing": model.smoothing,
        "features": list(model.features),
        "schema": model.schema,
    }
    if model.own_layers is not None:
        about["own-layers"] = asdict(model.own_layers)
    return save(tensors, metadata={"dtfl": json.dumps(about)})


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
            physics={k[8:]: v for k, v in tensors.items() if k.startswith("physics/")},
            calibration=_calibration(tensors, about),
            evidence=about["evidence"],
            false_alarm_rate=about["false-alarm-rate"],
            smoothing=about["smoothing"],
            features=tuple(about["features"]),
            schema=about["schema"],
            own_layers=_own_layers(about.get("own-layers")),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a model of this app ({error}); expected a .safetensors file from the "
            "models folder of a run"
        ) from error


def _own_layers(about: Mapping[str, Any] | None) -> OwnLayers | None:
    return None if about is None else OwnLayers(tuple(about["keys"]), dict(about["versions"]))


def _without_nothing(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Leave options out where there are none, as before there were any: the same file, then."""
    return {key: value for key, value in spec.items() if key != "options" or value}


def _calibration_tensors(calibration: Calibration) -> dict[str, NDArray[np.generic]]:
    """Counts, shape (sites, k), and scores, shape (sites, k, levels), NaN where none are."""
    rows = [calibration.sites[site] for site in sorted(calibration.sites)]
    counts = np.array([[sketch.count for sketch in row] for row in rows], dtype=np.int64)
    scores = np.full((len(rows), calibration.kinds, len(SKETCH_LEVELS)), np.nan)
    for i, row in enumerate(rows):
        for j, sketch in enumerate(row):
            if sketch.count:
                scores[i, j] = sketch.values
    return {
        "calibration/counts": counts.reshape(len(rows), calibration.kinds),
        "calibration/scores": scores,
        "calibration/floors": np.asarray(calibration.floors),
    }


def _calibration(
    tensors: Mapping[str, NDArray[np.generic]], about: Mapping[str, Any]
) -> Calibration:
    counts, scores = tensors["calibration/counts"], tensors["calibration/scores"]
    nothing = np.zeros(0)
    sketches = {
        site: tuple(
            Sketch(int(n), values.astype(np.float64) if n else nothing)
            for n, values in zip(counts[i], scores[i], strict=True)
        )
        for i, site in enumerate(about["sites"])
    }
    floors = tensors["calibration/floors"].astype(np.float64)
    # A model of before sites were trimmed counts them all.
    trim, own = about.get("calibration-trim", 0.0), about.get("own-thresholds", False)
    return Calibration(floors, sketches, trim, own)
