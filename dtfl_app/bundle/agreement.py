"""What the files of a model's folder say together: lengths, names and numbers that must agree."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.reading import REMEDY, convert
from dtfl_app.bundle.records import OwnLayersRecord
from dtfl_app.core.errors import BundleError, DTFLError
from dtfl_app.core.evidence import LawEvidence, kind_names, laws_among
from dtfl_app.core.logs import quoted
from dtfl_app.sites.scaling import Scaler
from twin.ctown.laws import DMAS, STATIONS, PlantLaws
from twin.ctown.network import DMA_TANKS
from twin.ctown.scada import LINKS, PUMPS, STATION_PRESSURES, TANK_LINKS, TANKS

__all__ = ["require_agreement", "require_whole"]

# What the laws read: each link's status and flow, each tank's level, each station's pressures.
_CHANNELS = {
    *(f"{kind}_{link}" for kind in "SF" for link in LINKS),
    *(f"L_{tank}" for tank in TANKS),
    *(f"P_{node}" for tank in STATIONS for node in STATION_PRESSURES[tank]),
}
# Pumps whose flow enters a district: those that fill its tanks.
_INFLOW = {
    name: tuple(pump for pump in PUMPS if any(pump in TANK_LINKS[t] for t in DMA_TANKS[name]))
    for name in DMAS
}


def require_agreement(
    plain: Mapping[str, Mapping[str, Any]], bundle: Bundle, metadata: Mapping[str, str], where: Path
) -> None:
    """Raise BundleError, naming file and key, where the files of a folder contradict each other.

    Parameters
    ----------
    plain : file name -> content, each as its record in `records` has it.
    bundle : what was made of them.
    metadata : of model.safetensors.
    where : the folder.
    """
    _features(plain["features.json"], bundle, where / "features.json")
    _scaler(plain["scaler.json"], bundle, where / "scaler.json")
    _calibration(plain["calibration.json"], bundle, where / "calibration.json")
    _physics(bundle, where / "physics.json")
    _weights(plain["calibration.json"], bundle, metadata, where / "model.safetensors")


def require_whole(metadata: Mapping[str, str], where: Path, *, or_not: bool) -> None:
    """Raise BundleError where the model lacks layers that sites have of their own.

    `metadata` : of model.safetensors, in folder `where`; `or_not` : a model may lack them.
    """
    found = json.loads(metadata["dtfl"]).get("own-layers")
    if found is None:
        return
    own = convert(found, OwnLayersRecord, where / "model.safetensors", REMEDY)
    if not or_not:
        raise BundleError(
            f"{where}: the model is not whole, each site has {', '.join(own.keys)} of its own, "
            f"which never left it; at the site, dtfl personalise {where} --state STATE_DIR --site "
            "NAME --out OWN fills them in, then detect with OWN"
        )


def _require(sound: bool | np.bool_, path: Path, key: str, found: object, expected: object) -> None:
    if not sound:
        _refuse(path, key, found, expected)


def _refuse(path: Path, key: str, found: object, expected: object) -> NoReturn:
    raise BundleError(f"{path}: {key} is {quoted(found)}, expected {expected}; {REMEDY}")


def _features(plain: Mapping[str, Any], bundle: Bundle, path: Path) -> None:
    plan, schema = bundle.features, bundle.site_schema.schema
    channels, names = plain["channels"], list(plan.spec.names(schema))
    _require(channels == schema.names, path, "channels", channels, "those of schema.toml")
    try:
        plan.spec.rows(schema)
    except DTFLError as error:
        _refuse(path, "window_s, step_s", (plan.spec.window_s, plan.spec.step_s), error)
    _require(
        list(plan.names) == names,
        path,
        "names",
        plan.names,
        f"the {len(names)} that its channels and statistics make",
    )
    known = len(set(plan.unread)) == len(plan.unread) and set(plan.unread) <= set(names)
    _require(known, path, "unread", plan.unread, "some of its names, each once")


def _scaler(plain: Mapping[str, Any], bundle: Bundle, path: Path) -> None:
    plan, sites = bundle.features, sorted(bundle.calibration.sites)
    wanted = "those of features.json"
    _require(plain["features"] == list(plan.names), path, "features", plain["features"], wanted)
    own = sorted(bundle.scalers)
    _require(not own or own == sites, path, "sites", own, f"those of calibration.json, {sites}")
    _one_scaler(bundle.scaler, bundle, path, "")
    for site, scaler in bundle.scalers.items():
        _one_scaler(scaler, bundle, path, f"sites.{site}.")


def _one_scaler(scaler: Scaler, bundle: Bundle, path: Path, at: str) -> None:
    plan, schema = bundle.features, bundle.site_schema.schema
    for key, values in (("mean", scaler.mean), ("scale", scaler.scale)):
        _require(len(values) == len(plan.names), path, at + key, values.tolist(), len(plan.names))
    low, high = plan.spec.ranges(schema)
    # Features are float32: a reading at an end of its range may lie a rounding outside it.
    slack = np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))
    unread = np.array([name in plan.unread for name in plan.names])
    within = (scaler.mean >= low - slack) & (scaler.mean <= high + slack)
    for name, mean in zip(plan.names, np.where(within | unread, np.nan, scaler.mean), strict=True):
        words = f"one within the range of {name}"
        _require(np.isnan(mean), path, f"{at}mean", float(mean), words)
    for name, scale, span in zip(plan.names, scaler.scale, high - low, strict=True):
        words = f"one within the range of {name}"
        _require(scale <= 2 * span, path, f"{at}scale", float(scale), words)


def _calibration(plain: Mapping[str, Any], bundle: Bundle, path: Path) -> None:
    calibration, names = bundle.calibration, [kind.name for kind in bundle.kinds]
    _require(len(set(names)) == len(names), path, "kinds", names, "each once")
    thresholds, floors = plain["thresholds"], plain["floors"]
    _require(len(floors) == len(names), path, "floors", floors, f"{len(names)}, one per kind")
    for kind, floor in zip(bundle.kinds, floors, strict=True):
        law = isinstance(kind, LawEvidence)
        _require(not law or floor is not None, path, f"floor of {kind.name}", floor, "a number")
    try:
        calibration.require_sound()
    except ValueError as error:
        raise BundleError(f"{path}: {error}; {REMEDY}") from error
    if calibration.silent:
        raise BundleError(
            f"{path}: the model has no scores of normal operation, hence no threshold, and would "
            "raise no alarm; train it with sites whose files leave rows to calibrate on"
        )
    _require(list(thresholds) == names, path, "thresholds", thresholds, f"one of each of {names}")
    for name, value in zip(names, calibration.thresholds(bundle.rate), strict=True):
        said = math.nan if thresholds[name] is None else thresholds[name]
        same = np.isclose(said, value, rtol=1e-9, atol=0.0, equal_nan=True)
        made = f"{float(value)!r}, which the sites' scores make"
        _require(same, path, f"thresholds.{name}", thresholds[name], made)
    for name, shares in bundle.usual.items():
        d = len(bundle.features.names)
        _require(len(shares) == d, path, f"usual.{name}", shares.tolist(), f"{d} numbers")
    known = any(shares.any() for shares in bundle.usual.values())
    _require(
        known == bool(bundle.usual_of),
        path,
        "usual_of",
        bundle.usual_of,
        '"twin", or "" where all that is usual is 0',
    )


def _physics(bundle: Bundle, path: Path) -> None:
    physics, laws = bundle.physics, laws_among(bundle.kinds)
    if physics is None:
        if laws:
            raise BundleError(
                f"{path} is missing, and the model weighs {kind_names(laws)}; {REMEDY}"
            )
        return
    if any(kind.needs_demand for kind in laws):
        _require(physics.expected is not None, path, "expected", None, "5 lists of 168 demands")
    sites = sorted(bundle.calibration.sites)
    known = "" in physics.plants or set(sites) <= set(physics.plants)
    _require(known, path, "plants", sorted(physics.plants), f'one of each site of {sites}, or ""')
    for site, plant in physics.plants.items():
        _plant(plant, path, f"plants.{site}")
    lacking = sorted(_CHANNELS - set(bundle.features.names)) if laws else []
    _require(not lacking, path, "plants", lacking, "channels that the model has, for its laws")


def _plant(laws: PlantLaws, path: Path, key: str) -> None:
    for link, rule in laws.rules.items():
        below = rule.on_below < rule.off_above
        _require(below, path, f"{key}.rules.{link}", rule, "on_below under off_above")
    for pump, curve in laws.curves.items():
        flows, heads = zip(*curve, strict=True)
        rising = all(a < b for a, b in itertools.pairwise(flows))
        falling = all(a > b for a, b in itertools.pairwise(heads))
        words = "flows that rise and heads that fall"
        _require(rising and falling, path, f"{key}.curves.{pump}", curve, words)
    for name, boundary in laws.boundaries.items():
        place, areas = f"{key}.boundaries.{name}", {t: laws.areas[t] for t in DMA_TANKS[name]}
        _require(boundary.areas == areas, path, f"{place}.areas", boundary.areas, areas)
        inflow = _INFLOW[name]
        _require(boundary.inflow == inflow, path, f"{place}.inflow", boundary.inflow, inflow)
    # What leaves a district enters another; each pump takes its water from one.
    out = sorted(pump for boundary in laws.boundaries.values() for pump in boundary.outflow)
    within = sorted({*PUMPS} - {*_INFLOW["DMA1"]})
    _require(out == within, path, f"{key}.boundaries: all outflow", out, within)


def _weights(
    plain: Mapping[str, Any], bundle: Bundle, metadata: Mapping[str, str], path: Path
) -> None:
    """What further training reads says the same as what scores here."""
    try:
        about = json.loads(metadata["dtfl"])
        said = {
            "sites": sorted(about["sites"]),
            "evidence": [name.strip() for name in about["evidence"].split(",")],
            "false-alarm-rate": about["false-alarm-rate"],
            "smoothing": about["smoothing"],
            "calibration-trim": about["calibration-trim"],
            "own-thresholds": about["own-thresholds"],
            "features": about["features"],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _refuse(path, "its metadata", metadata, f"what a run writes ({error!r})")
    wanted = {
        "sites": sorted(plain["sites"]),
        "evidence": plain["kinds"],
        "false-alarm-rate": plain["false_alarm_rate"],
        "smoothing": plain["smoothing"],
        "calibration-trim": plain["trim"],
        "own-thresholds": plain["own_thresholds"],
        "features": list(bundle.features.names),
    }
    for key, value in wanted.items():
        _require(said[key] == value, path, key, said[key], f"{quoted(value)} of the other files")
