"""From features in physical units to what a detector takes, the same at sites, twin and server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from dtfl_app.core.errors import SiteError
from dtfl_app.core.evidence import EvidenceKind, LawEvidence, evidence_kinds
from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.detector.calibration import Sketch, sketch_scores
from dtfl_app.detector.detector import Detector, ModelSpec
from dtfl_app.detector.models import require_detector
from dtfl_app.detector.scoring import Scores, score, smooth, stack_windows, totals
from dtfl_app.detector.training import Rows
from dtfl_app.sites.features import Features
from dtfl_app.sites.scaling import ChannelSums, Scaler, Scaling

__all__ = [
    "Prepared",
    "model_spec",
    "prepare",
    "prepare_by_site",
    "prepare_twin",
    "scaler_from_arrays",
    "scaler_to_arrays",
    "scaling_from_arrays",
    "scaling_to_arrays",
    "sketch_evidence",
]

# Before a site's name, among arrays.
_OWN = "sites/"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Scaled, windowed features beside what they came from.

    Parameters
    ----------
    x : detector inputs, float32, shape (n, w*d).
    features : the same n rows in physical units, with labels and times.
    physics : what each law that is wanted finds on the same rows, name -> shape (n, c).
    """

    x: NDArray[np.float32]
    features: Features
    physics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def rows(self, device: torch.device) -> Rows:
        """Return the rows as training material on `device`."""
        return Rows.from_numpy(self.x, self.features.label, device)

    def score(self, model: Detector, smoothing: int) -> Scores:
        """Score every row."""
        return score(model, self.x, self.features.instance, smoothing)

    def evidence(self, model: Detector, settings: DetectorSettings) -> NDArray[np.float64]:
        """Return all evidence that the settings ask for, shape (n, k), kinds in their order."""
        residual = totals(model, self.x)
        return self.weigh(residual, evidence_kinds(settings.evidence), settings.smoothing)

    def weigh(
        self, residual: NDArray[np.float64], kinds: Sequence[EvidenceKind], smoothing: int
    ) -> NDArray[np.float64]:
        """Return the kinds of evidence, shape (n, k), that go with a model's residuals (n,)."""
        return np.stack([self._total(kind, residual, smoothing) for kind in kinds], axis=1)

    def _total(
        self, kind: EvidenceKind, residual: NDArray[np.float64], smoothing: int
    ) -> NDArray[np.float64]:
        if isinstance(kind, LawEvidence):
            return kind.total(self.physics[kind.name])
        return smooth(residual[:, None], self.features.instance, kind.steps(smoothing))[:, 0]


def prepare(
    features: Features,
    scaler: Scaler,
    window: int,
    physics: Mapping[str, NDArray[np.float64]] | None = None,
) -> Prepared:
    """Scale the features and give each row its window of past rows."""
    scaled = scaler.transform(features.values)
    return Prepared(stack_windows(scaled, features.instance, window), features, physics or {})


def sketch_evidence(
    kinds: Sequence[EvidenceKind],
    evidence: NDArray[np.float64],
    training: Prepared,
    calibration: Prepared,
) -> list[Sketch]:
    """Sketch each kind of evidence on the normal rows of a site that it was not trained on.

    Physical evidence is not trained on anything, so all the site's normal rows count. Raises
    SiteError for a score that is no number.

    Parameters
    ----------
    evidence : on the calibration rows, shape (n, k), a column per kind.
    """
    normal = [part.features.label < 1 for part in (training, calibration)]
    sketches = []
    for column, kind in enumerate(kinds):
        scores = evidence[normal[1], column]
        if np.isnan(scores).any():
            raise SiteError(
                f"{int(np.isnan(scores).sum())} of {len(scores)} calibration scores "
                f"({kind.name}) are not numbers: the model that came, or the detector, is not sound"
            )
        if isinstance(kind, LawEvidence):
            trained = kind.total(training.physics[kind.name])[normal[0]]
            scores = np.concatenate([trained, scores])
        sketches.append(sketch_scores(scores))
    return sketches


def prepare_twin(
    features: Features, scaling: Scaling, spans: NDArray[np.float64], window: int
) -> Prepared:
    """Prepare a twin's rows; where sites are scaled by their own normal rows, so is the twin.

    `spans` is as of `Scaler.from_sums`.
    """
    if scaling.own:
        moments = ChannelSums.of(features.values[features.label < 1])
        scaling = Scaling(Scaling.by_site(scaling.pooled, {"": moments}, spans).at(""))
    return prepare(features, scaling.pooled, window)


def prepare_by_site(
    features: Features,
    scaling: Scaling,
    site_of: Callable[[str], str],
    window: int,
    physics: Mapping[str, NDArray[np.float64]] | None = None,
) -> Prepared:
    """Prepare rows of several sites, those of each with the scaler in force there.

    `site_of` is instance -> the site where it was recorded.
    """
    scaled = np.empty(features.values.shape, dtype=np.float32)
    names, place = np.unique(features.instance, return_inverse=True)
    sites = np.array([site_of(str(name)) for name in names], dtype=object)[place]
    for site in set(sites.tolist()):
        here = sites == site
        scaled[here] = scaling.at(site).transform(features.values[here])
    return Prepared(stack_windows(scaled, features.instance, window), features, physics or {})


def model_spec(settings: DetectorSettings, features: int) -> ModelSpec:
    """Architecture for `features` features per time step; errors as of `require_detector`."""
    require_detector(settings)
    return ModelSpec(
        kind=settings.model,
        features=features,
        window=settings.window,
        hidden=settings.hidden,
        latent=settings.latent,
        options=settings.options,
    )


def scaler_to_arrays(scaler: Scaler) -> dict[str, NDArray[np.generic]]:
    """Pack a scaler for the wire and for model files: "mean", "scale" and "clip"."""
    return {"mean": scaler.mean, "scale": scaler.scale, "clip": np.array([scaler.clip])}


def scaler_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Scaler:
    """Inverse of `scaler_to_arrays`."""
    mean, scale, clip = (arrays[k].astype(np.float64) for k in ("mean", "scale", "clip"))
    return Scaler(mean, scale, float(clip[0]))


def scaling_to_arrays(scaling: Scaling) -> dict[str, NDArray[np.generic]]:
    """Pack scalers: the pooled one as `scaler_to_arrays` does, a site's own below "sites/NAME/"."""
    found = scaler_to_arrays(scaling.pooled)
    for site, own in scaling.own.items():
        found |= {f"{_OWN}{site}/{key}": array for key, array in scaler_to_arrays(own).items()}
    return found


def scaling_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Scaling:
    """Inverse of `scaling_to_arrays`."""
    sites: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, array in arrays.items():
        if name.startswith(_OWN):
            site, _, key = name.removeprefix(_OWN).rpartition("/")
            sites.setdefault(site, {})[key] = array
    own = {site: scaler_from_arrays(found) for site, found in sites.items()}
    return Scaling(scaler_from_arrays(arrays), own)
