"""From the files of a model's folder to what a gateway scores with, each believed only if sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dtfl_app.bundle.agreement import require_agreement, require_whole
from dtfl_app.bundle.bundle import Bundle, FeaturePlan
from dtfl_app.bundle.laws import Physics
from dtfl_app.bundle.reading import REMEDY, convert, parse
from dtfl_app.bundle.records import RECORDS
from dtfl_app.bundle.tensors import require_onnx, safetensors_header
from dtfl_app.core.errors import BundleError, DTFLError
from dtfl_app.core.evidence import KINDS
from dtfl_app.detector.calibration import Calibration, Sketch
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.scaling import Scaling
from dtfl_app.sites.site_schema import parse_site_schema

__all__ = ["decode"]


def decode(files: Mapping[str, bytes], where: Path, version: str, *, whole: bool = True) -> Bundle:
    """Inverse of `bundle.encode`, for the model `version` in folder `where`.

    `whole` : refuse a model that lacks what each site has of its own.

    Raises BundleError, naming file and key, where one lacks something, holds what no run writes or
    contradicts another, where the model weighs evidence that this version does not know, and where
    it can raise no alarm.
    """
    plain = {}
    for name in files:
        if name in RECORDS:
            plain[name] = parse(files[name], where / name, REMEDY)
            if name == "calibration.json":
                _require_known(plain[name].get("kinds"), where / name)
            convert(plain[name], RECORDS[name], where / name, REMEDY)
    require_onnx(files["model.onnx"], where / "model.onnx", REMEDY)
    metadata = safetensors_header(files["model.safetensors"], where / "model.safetensors", REMEDY)
    bundle = _bundle(plain, files, where, version)
    require_agreement(plain, bundle, metadata, where)
    require_whole(metadata, where, or_not=not whole)
    return bundle


def _bundle(
    plain: Mapping[str, Mapping[str, Any]], files: Mapping[str, bytes], where: Path, version: str
) -> Bundle:
    calibration, physics = plain["calibration.json"], plain.get("physics.json")
    with _named(where / "schema.toml"):
        site_schema = parse_site_schema(files["schema.toml"], Path("schema.toml"))
    with _named(where / "features.json"):
        plan = _plan(plain["features.json"])
    with _named(where / "scaler.json"):
        scaling = Scaling.from_dict(plain["scaler.json"])
    return Bundle(
        site_schema=site_schema,
        features=plan,
        scaler=scaling.pooled,
        kinds=tuple(KINDS[name] for name in calibration["kinds"]),
        rate=calibration["false_alarm_rate"],
        smoothing=calibration["smoothing"],
        calibration=_calibration(calibration),
        usual={name: np.array(shares, float) for name, shares in calibration["usual"].items()},
        usual_of=calibration["usual_of"],
        physics=None if physics is None else Physics.from_mapping(physics),
        graph=files["model.onnx"],
        version=version,
        scalers=scaling.own,
    )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file whose content is none that could be."""
    try:
        yield
    except DTFLError as error:
        raise BundleError(f"{path}: {error}; {REMEDY}") from error


def _plan(plain: Mapping[str, Any]) -> FeaturePlan:
    return FeaturePlan(
        FeatureSpec(
            plain["window_s"],
            plain["step_s"],
            tuple(plain["statistics"]),
            plain.get("baseline", 0),
        ),
        tuple(plain["names"]),
        plain["window"],
        tuple(plain["unread"]),
        plain["frozen_missing"],
    )


def _require_known(names: object, path: Path) -> None:
    """A kind of a later version is no damage, and another thing to do."""
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if unknown := [name for name in texts if name not in KINDS]:
        raise BundleError(
            f"{path}: the model weighs evidence {unknown}; this version knows {', '.join(KINDS)}. "
            "Install the version that card.md names"
        )


def _calibration(plain: Mapping[str, Any]) -> Calibration:
    floors = [-math.inf if floor is None else float(floor) for floor in plain["floors"]]
    sites = {
        site: [Sketch(s["count"], np.array(s["values"], dtype=np.float64)) for s in sketches]
        for site, sketches in plain["sites"].items()
    }
    return Calibration(np.array(floors), sites, plain["trim"], plain["own_thresholds"])
