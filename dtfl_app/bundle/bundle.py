"""What a gateway scores with, in memory and as the files of its folder; `decoding` reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.laws import Physics
from dtfl_app.core.errors import SchemaError
from dtfl_app.core.evidence import EvidenceKind
from dtfl_app.detector.calibration import Calibration
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.scaling import Scaler, Scaling
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema

__all__ = ["Bundle", "FeaturePlan", "encode"]

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
