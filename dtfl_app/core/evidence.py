"""Kinds of evidence against a time step: what the model misses, and laws of physics it breaks.

Which kinds a detector weighs is the setting `evidence`. A kind is one object of `KINDS`: settings,
calibration, recordings, streams, alarms and the model's folder all ask it. The model's residual of
this step alone ("instant") finds abrupt events without delay, its mean over past steps ("smoothed")
lasting weak ones; laws of physics ("plc", "pump", "balance") need no training at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError
from twin.ctown.laws import BALANCE_CHANNELS, PLC_CHANNELS, PUMP_CHANNELS, PlantLaws
from twin.ctown.plant import PlantModel
from twin.ctown.residuals import balance_residual, plc_contradiction, pump_residual
from twin.epanet.hourly import Hour, balance_hour, plc_hour, pump_hour

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KINDS",
    "MODEL_KINDS",
    "EvidenceKind",
    "LawEvidence",
    "ModelEvidence",
    "evidence_floors",
    "evidence_kinds",
    "kind_names",
    "laws_among",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What every kind of evidence says of itself.

    Parameters
    ----------
    name : what settings, tables and alarms call it.
    words : what it is.
    unit : of its scores; "" where they have none.
    floor : smallest threshold, in the unit; -inf where nobody knows how accurate the scores are.
    """

    name: str
    words: str
    unit: str
    floor: float


@dataclass(frozen=True, slots=True)
class ModelEvidence(_Kind):
    """Residual of the model, with each feature's share in it.

    Parameters
    ----------
    smoothed : whether it is the mean of past steps, as many as the setting `smoothing` says.
    """

    smoothed: bool

    def steps(self, smoothing: int) -> int:
        """Return how many steps' residuals it is the mean of."""
        return smoothing if self.smoothed else 1

    @staticmethod
    def prominence(shares: FloatArray, usual: FloatArray) -> FloatArray:
        """Return by how much each feature stands out from what is usual for it.

        A noisy sensor thus does not explain everything.

        Parameters
        ----------
        shares : shape (..., d), >= 0.
        usual : median share of each feature, shape (d,).
        """
        # The mean keeps features that are usually perfect from standing out by next to nothing.
        return np.asarray(shares / (usual + usual.mean() + 1e-12))


@dataclass(frozen=True, slots=True)
class LawEvidence(_Kind):
    """How far readings are from obeying a law of physics.

    Parameters
    ----------
    channels : the c channels to look at first, one per column of what the law finds.
    recording : (series, plant) -> residuals of a whole recording, shape (n, c).
    hourly : (laws, hour, kept) -> residuals of one more hour, shape (c,), and what to keep for the
        next one, shape (m, c).
    because : why a channel is named, as an alarm says it after the readings.
    expects : (a channel's reading, what the law finds, signed) -> the reading that would obey the
        law; None where the law tells no single one.
    needs_demand : whether both take the expected demand, shape (5, 168), after these.
    """

    channels: tuple[str, ...]
    recording: Callable[..., FloatArray]
    hourly: Callable[..., tuple[FloatArray, FloatArray]]
    because: str = ""
    expects: Callable[[float, float], float] | None = None
    needs_demand: bool = False

    def on_recording(
        self, series: pd.DataFrame, plant: PlantModel, expected: FloatArray | None
    ) -> FloatArray:
        """Return how far off each channel is in every row of a recording, shape (n, c), >= 0."""
        return np.abs(self.recording(series, plant, *self._demand(expected)))

    def on_hour(
        self, laws: PlantLaws, hour: Hour, kept: FloatArray, expected: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the same for one more hour, signed, shape (c,), and what to keep, shape (m, c).

        `kept` is what the hour before left; where a stretch begins, of shape (0, c).
        """
        return self.hourly(laws, hour, kept, *self._demand(expected))

    @staticmethod
    def total(per_channel: FloatArray) -> FloatArray:
        """Return the evidence of each step, that of the channel furthest off; (..., c) to (...)."""
        return np.asarray(per_channel.max(axis=-1))

    def _demand(self, expected: FloatArray | None) -> tuple[FloatArray, ...]:
        if not self.needs_demand:
            return ()
        assert expected is not None
        return (expected,)


EvidenceKind: TypeAlias = ModelEvidence | LawEvidence

# A model's score has no unit and no known accuracy; physical evidence has: 1 cm of level, 10 cm of
# head, a tenth of a standard deviation.
_KINDS: tuple[EvidenceKind, ...] = (
    ModelEvidence(
        "instant", "the model's residual of this step: mean squared reconstruction error",
        unit="", floor=-math.inf, smoothed=False,
    ),
    ModelEvidence(
        "smoothed", "mean of the last `detector.smoothing` residuals: lasting weak events",
        unit="", floor=-math.inf, smoothed=True,
    ),
    LawEvidence(
        "plc", "by how much a pump's or valve's status contradicts its set-points",
        unit="m", floor=0.01,
        channels=PLC_CHANNELS, recording=plc_contradiction, hourly=plc_hour,
        because="by its set-points", expects=lambda status, _: 1.0 - status,
    ),
    LawEvidence(
        "pump", "what a pump station's head gain misses its pumps' curves by",
        unit="m", floor=0.1,
        channels=PUMP_CHANNELS, recording=pump_residual, hourly=pump_hour,
        because="by its pumps' curves", expects=lambda pressure, missed: pressure - missed,
    ),
    LawEvidence(
        "balance", "a district's water balance over four hours against the demand to expect",
        unit="standard deviations", floor=0.1, needs_demand=True,
        channels=BALANCE_CHANNELS, recording=balance_residual, hourly=balance_hour,
        because="its district's water balance does not fit the demand to expect",
    ),
)  # fmt: skip
#: Name -> kind of evidence.
KINDS = {kind.name: kind for kind in _KINDS}
#: Those that the model gives.
MODEL_KINDS = tuple(kind for kind in _KINDS if isinstance(kind, ModelEvidence))


def evidence_kinds(setting: str) -> tuple[EvidenceKind, ...]:
    """Read the setting `evidence`: kinds separated by commas; ConfigError for any other."""
    names = [part.strip() for part in setting.split(",") if part.strip()]
    if not names or len(set(names)) < len(names) or not set(names) <= set(KINDS):
        raise ConfigError(
            f"run config: detector.evidence = {setting!r}; expected one or more, each once, of "
            f"{', '.join(KINDS)}"
        )
    return tuple(KINDS[name] for name in names)


def laws_among(kinds: Iterable[EvidenceKind]) -> tuple[LawEvidence, ...]:
    """Return those of the kinds that are laws of physics."""
    return tuple(kind for kind in kinds if isinstance(kind, LawEvidence))


def kind_names(kinds: Iterable[EvidenceKind]) -> str:
    """Return the names of kinds as a person lists them: "plc, pump"."""
    return ", ".join(kind.name for kind in kinds)


def evidence_floors(kinds: Sequence[EvidenceKind]) -> FloatArray:
    """Smallest threshold of each kind, shape (k,)."""
    return np.array([kind.floor for kind in kinds])
