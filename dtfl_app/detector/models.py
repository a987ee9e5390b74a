"""Detectors by their names in the run config."""

from __future__ import annotations

import torch

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import MODEL_KINDS, evidence_kinds, kind_names
from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.core.registry import Registry, read_options
from dtfl_app.detector.detector import Detector, ModelSpec

__all__ = [
    "DETECTORS",
    "build_model",
    "find_detector",
    "require_detector",
    "resolve_device",
]

DETECTORS = Registry(
    "detector.model",
    "a subclass of dtfl_app.detector.detector.Detector",
    {
        "autoencoder": "dtfl_app.detector.dense:Autoencoder",
        "classifier": "dtfl_app.detector.dense:Classifier",
        "temporal": "dtfl_app.detector.temporal:Temporal",
    },
    "dtfl.detectors",
)


def find_detector(name: str) -> type[Detector]:
    """Return the class that `detector.model` names, or raise ConfigError."""
    found = DETECTORS.find(name)
    if not (isinstance(found, type) and issubclass(found, Detector)):
        raise ConfigError(
            f"run config: detector.model = {name!r} is {found!r}; expected {DETECTORS.what}"
        )
    return found


def require_detector(settings: DetectorSettings) -> type[Detector]:
    """Return the class that the settings name; ConfigError where they ask of it what it cannot."""
    cls = find_detector(settings.model)
    read_options(cls.Options, "detector.options", settings.options)
    if settings.window < cls.least_window:
        raise ConfigError(
            f"run config: detector.window = {settings.window}; detector.model = {settings.model!r} "
            f"needs {cls.least_window} time steps at least"
        )
    several = len(evidence_kinds(settings.evidence)) > 1
    if not cls.ratio_scores and (several or settings.thresholds == "site"):
        wrong = f"evidence = {settings.evidence!r}" if several else 'thresholds = "site"'
        raise ConfigError(
            f"run config: detector.{wrong} needs scores that cannot be negative, and those of "
            f"detector.model = {settings.model!r} can; it takes one of {kind_names(MODEL_KINDS)}, "
            "and federated thresholds"
        )
    return cls


def build_model(spec: ModelSpec, seed: int) -> Detector:
    """Build a detector whose initial weights depend on `spec` and `seed` alone.

    Raises ConfigError for one that cannot be found here, or options that it does not know.
    """
    cls = find_detector(spec.kind)
    options = read_options(cls.Options, "detector.options", spec.options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(spec, options)


def resolve_device(setting: str) -> torch.device:
    """Return the device that `setting` names; "auto" is CUDA where there is one, else the CPU."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(setting)
