"""What a gateway scores with, in memory and as the files of its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.laws import Physics
from dtfl_app.core.errors import BundleError, SchemaError
from dtfl_app.core.evidence import KINDS, EvidenceKind
from dtfl_app.detector.calibration import Calibration, Sketch
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.scaling import Scaler, Scaling
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema

__all__ = ["Bundle", "FeaturePlan", "decode", "encode"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """How readings become what the model sees.

    Parameters
    ----------
    spec : window, step and statistics.
    names : the d features, in the model's order.
    window : time steps w that the model sees at once.
    unread : features that no site had a reading of in training; missing at detection too.
    frozen_missing : whether a channel that never moves is taken as missing, as in training.
    """

    spec: FeatureSpec
    names: tuple[str, ...]
    window: int
    unread: tuple[str, ...]
    frozen_missing: bool


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A trained detector, ready to score.

    Parameters
    ----------
    site_schema : channels, and how a site's file is written.
    features : how features are made.
    scaler : the federation's scaling.
    kinds : kinds of evidence.
    rate : wanted false-alarm rate.
    smoothing : time steps that the smoothed residual is averaged over.
    calibration : scores of normal operation at the sites.
    usual : name of each kind that the model gives -> median share of each feature, shape (d,).
    usual_of : rows that `usual` is of: "twin", or "" (none were there; all 0).
    physics : what physical evidence needs; None where none is wanted.
    graph : the ONNX model.
    version : the model's version; "" before it was written.
    scalers : site -> its own scaling, where each site has one.
    """

    site_schema: SiteSchema
    features: FeaturePlan
    scaler: Scaler
    kinds: tuple[EvidenceKind, ...]
    rate: float
    smoothing: int
    calibration: Calibration
    usual: Mapping[str, Floats]
    usual_of: str
    physics: Physics | None
    graph: bytes
    version: str = ""
    scalers: Mapping[str, Scaler] = field(default_factory=dict)

    @property
    def scaling(self) -> Scaling:
        """Which scaling is in force at which site."""
        return Scaling(self.scaler, self.scalers)

    def for_site(self, path: Path) -> Bundle:
        """Read a site's file as its own schema says; SchemaError unless it is of this schema."""
        own, schema = read_site_schema(path), self.site_schema.schema
        if own.schema.digest() != schema.digest():
            raise SchemaError(
                f"{path}: its channels {own.schema.names[:3]}... are not those of the model "
                f"(schema {schema.name!r}, {schema.names[:3]}...); names, units, kinds, ranges and "
                "period must be the same, only columns, time and labels are a site's own"
            )
        return replace(self, site_schema=own)


def encode(bundle: Bundle) -> dict[str, bytes]:
    """Return file name -> content; the same bundle gives the same bytes."""
    plan = bundle.features
    files: dict[str, bytes] = {
        "model.onnx": bundle.graph,
        "scaler.json": _json({"features": list(plan.names), **bundle.scaling.to_dict()}),
        "calibration.json": _json(_calibration_mapping(bundle)),
        "features.json": _json(
            {
                "window_s": plan.spec.window_s,
                "step_s": plan.spec.step_s,
                "statistics": list(plan.spec.statistics),
                # Only where there is one: other models keep the version that they had before.
                **({"baseline": plan.spec.baseline} if plan.spec.baseline else {}),
                "channels": bundle.site_schema.schema.names,
                "names": list(plan.names),
                "window": plan.window,
                "unread": list(plan.unread),
                "frozen_missing": plan.frozen_missing,
            }
        ),
        "schema.toml": bundle.site_schema.to_toml().encode(),
    }
    if bundle.physics is not None:
        files["physics.json"] = _json(bundle.physics.to_mapping())
    return files


def decode(files: Mapping[str, bytes], where: Path, version: str) -> Bundle:
    """Inverse of `encode`, for the model `version` in folder `where`.

    Raises KeyError, TypeError or ValueError where a file lacks something, BundleError where the
    model weighs evidence that this version does not know, or can raise no alarm.
    """
    plain = {name: json.loads(files[name]) for name in files if name.endswith(".json")}
    features, calibration = plain["features.json"], plain["calibration.json"]
    plan = FeaturePlan(
        FeatureSpec(
            features["window_s"],
            features["step_s"],
            tuple(features["statistics"]),
            features.get("baseline", 0),
        ),
        tuple(features["names"]),
        features["window"],
        tuple(features["unread"]),
        features["frozen_missing"],
    )
    usual = {
        kind: np.array(shares, dtype=np.float64) for kind, shares in calibration["usual"].items()
    }
    scaling = Scaling.from_dict(plain["scaler.json"])
    physics, scores = plain.get("physics.json"), _calibration(calibration)
    if scores.silent:
        raise BundleError(
            f"{where}: the model has no scores of normal operation, hence no threshold, and would "
            "raise no alarm; train it with sites whose files leave rows to calibrate on"
        )
    return Bundle(
        site_schema=read_site_schema(where / "schema.toml"),
        features=plan,
        scaler=scaling.pooled,
        kinds=_kinds(calibration["kinds"], where),
        rate=calibration["false_alarm_rate"],
        smoothing=calibration["smoothing"],
        calibration=scores,
        usual=usual,
        usual_of=calibration["usual_of"],
        physics=None if physics is None else Physics.from_mapping(physics),
        graph=files["model.onnx"],
        version=version,
        scalers=scaling.own,
    )


def _kinds(names: Sequence[str], where: Path) -> tuple[EvidenceKind, ...]:
    if unknown := [name for name in names if name not in KINDS]:
        raise BundleError(
            f"{where}: the model weighs evidence {unknown}; this version knows {', '.join(KINDS)}. "
            "Install the version that card.md names"
        )
    return tuple(KINDS[name] for name in names)


def _json(content: object) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()


def _calibration_mapping(bundle: Bundle) -> dict[str, Any]:
    calibration = bundle.calibration
    thresholds = calibration.thresholds(bundle.rate)
    return {
        "kinds": [kind.name for kind in bundle.kinds],
        "false_alarm_rate": bundle.rate,
        "smoothing": bundle.smoothing,
        "thresholds": {
            kind.name: None if math.isnan(value) else float(value)
            for kind, value in zip(bundle.kinds, thresholds, strict=True)
        },
        "trim": calibration.trim,
        "own_thresholds": calibration.own,
        # A kind whose accuracy nobody knows has no floor, which JSON cannot write as a number.
        "floors": [None if math.isinf(floor) else float(floor) for floor in calibration.floors],
        "sites": {
            site: [{"count": s.count, "values": s.values.tolist()} for s in sketches]
            for site, sketches in sorted(calibration.sites.items())
        },
        "usual": {kind: shares.tolist() for kind, shares in sorted(bundle.usual.items())},
        "usual_of": bundle.usual_of,
    }


def _calibration(plain: Mapping[str, Any]) -> Calibration:
    # A model of before sites were trimmed counts them all.
    trim = plain.get("trim", 0.0)
    if not 0.0 <= trim <= 0.5:
        raise ValueError(f"trim is {trim}, expected 0 to 0.5")
    if not 0.0 < plain["false_alarm_rate"] <= 0.5:
        raise ValueError(f"false_alarm_rate is {plain['false_alarm_rate']}, expected 0 to 0.5")
    floors = [-math.inf if floor is None else float(floor) for floor in plain["floors"]]
    if not all(floor >= 0.0 or floor == -math.inf for floor in floors):
        raise ValueError(f"floors are {floors}, expected null or numbers >= 0")
    sites = {
        site: [Sketch(s["count"], np.array(s["values"], dtype=np.float64)) for s in sketches]
        for site, sketches in plain["sites"].items()
    }
    found = Calibration(np.array(floors), sites, trim, bool(plain.get("own_thresholds", False)))
    found.require_sound()
    return found
