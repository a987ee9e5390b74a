"""What can be set of detector, training and twin: a frozen dataclass for each group of keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import KINDS, MODEL_KINDS, kind_names, laws_among
from dtfl_app.core.settings import setting

__all__ = [
    "DetectorSettings",
    "TrainSettings",
    "TwinSettings",
]


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What is learned and when it raises an alarm."""

    group: ClassVar[str] = "detector"

    model: str = setting(
        "autoencoder",
        "detector to train: autoencoder, classifier, temporal, or your own (docs/your-detector.md)",
    )
    options: str = setting("", "the detector's own options: key=value, ...")
    window: int = setting(1, "consecutive time steps the model sees at once", low=1)
    hidden: int = setting(256, "autoencoder, classifier: width of the outer hidden layers", low=1)
    latent: int = setting(24, "autoencoder, classifier: width of the innermost layer", low=1)
    evidence: str = setting(
        "smoothed",
        f"what raises an alarm: one or more of {kind_names(MODEL_KINDS)} (the model's residual), "
        f"{kind_names(laws_among(KINDS.values()))} (laws of physics; C-Town plants)",
    )
    smoothing: int = setting(8, "smoothed residuals: mean of this many past steps", low=1)
    false_alarm_rate: float = setting(
        0.005, "wanted share of normal steps with an alarm", above=0.0, high=0.5
    )
    thresholds: str = setting(
        "federated",
        "whose scores set the threshold at a site: federated = all sites' alike, site = its own, "
        "filled up by all others' to the 200 that tell a rate of 0.5%",
        choices=("federated", "site"),
    )
    settling: int = setting(
        24, "time steps after an event that observed false-alarm rates leave out", low=0
    )
    calibration_trim: float = setting(
        0.2,
        "share of sites at either end whose scores count only up to twice those of the others, "
        "and no site for more than three times the median one; 0 = all as they are",
        low=0.0,
        high=0.5,
    )


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Training at a site."""

    group: ClassVar[str] = "train"

    epochs: int = setting(2, "passes over a site's rows per round", low=1)
    optimizer: str = setting(
        "adam", "what takes the steps at the sites; the twin's are Adam's", choices=("adam", "sgd")
    )
    lr: float = setting(0.001, "its step size at the sites", above=0.0)
    momentum: float = setting(0.0, "sgd: share of the last step in the next", low=0.0, high=0.99)
    batch_size: int = setting(128, "rows per mini-batch", low=1)

    def __post_init__(self) -> None:
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError(
                f"run config: train.momentum = {self.momentum:g} is sgd's alone and "
                f"train.optimizer is {self.optimizer}; set train.optimizer=sgd or leave it out"
            )


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """The digital twin at the server."""

    group: ClassVar[str] = "twin"

    kind: str = setting(
        "auto",
        "auto = the dataset's own; ctown, epanet, fmi, function, recorded, none, or your own: "
        "my_pkg.mine:Mine "
        "(docs/your-twin.md)",
    )
    options: str = setting("", "settings of your own twin: key=value, ...")
    network: str = setting("", "EPANET file of the twin; empty = the dataset's own", role="path")
    plant: str = setting("", "calibrated plant (JSON of 'dtfl twin calibrate')", role="path")
    recording: str = setting(
        "",
        "another simulator's labelled series (Parquet or CSV), or a file written like the sites'",
        role="data-file",
    )
    scenarios: int = setting(60, "scenarios the twin simulates", low=1)
    hours: int = setting(384, "hours per scenario", low=24)
    families: str = setting("", "event kinds to simulate; empty = what the detector learns from")
    demand_factor: float = setting(1.0, "make the twin wrong in demand", above=0.0)
    roughness_factor: float = setting(1.0, "make the twin wrong in roughness", above=0.0)
    threshold_factor: float = setting(
        1.0, "make the twin wrong in the levels at which its PLCs switch", above=0.0
    )
    weight: str = setting(
        "1",
        "how much the twin counts: from 0 (as fedavg) to 1 (as the method is written), or auto = "
        "the nearer its data is to what sites tell of theirs, the more",
    )
    steps: int = setting(100, "mini-batches on twin data per round", low=0)
    lr: float = setting(0.001, "Adam's step size on twin data", above=0.0)
    warm_start: bool = setting(False, "start from a model trained on twin data")
    warm_steps: int = setting(2000, "mini-batches of the warm start and of a teacher", low=1)
    workers: int = setting(0, "processes that simulate; 0 = one per core", low=0, role="local")

    def __post_init__(self) -> None:
        try:
            fits = self.weight == "auto" or 0.0 <= float(self.weight) <= 1.0
        except ValueError:
            fits = False
        if not fits:
            raise ConfigError(
                f"run config: twin.weight = {self.weight!r}; expected a number from 0 to 1, in "
                'quotes, or "auto"'
            )

    @property
    def fixed_weight(self) -> float | None:
        """How much the twin counts; None where that is to be measured."""
        return None if self.weight == "auto" else float(self.weight)
