"""What each JSON file of a model's folder may hold, as types: keys, kinds of values, ranges.

No key may be missing, and none may be there that is not listed. What several files say together
is held against each other in `agreement`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from dtfl_app.core.evidence import KINDS, MODEL_KINDS
from dtfl_app.detector.calibration import SKETCH_LEVELS
from dtfl_app.sites.statistics import STATISTICS
from twin.ctown.laws import DMAS, SLOTS, STATIONS
from twin.ctown.scada import LINKS, PUMPS, STATION_PRESSURES, TANKS

__all__ = ["RECORDS", "ManifestRecord", "OwnLayersRecord", "Record"]

#: Far beyond any score of scaled readings; a threshold up there would find nothing.
_MOST_SCORE = 1e12
# Above any site's rows, as `messages.calibration` has it.
_MOST_ROWS = 10_000_000
# Above any plant's metres, litres per second and square metres.
_MOST_PHYSICAL = 1e6

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1000)]
Score: TypeAlias = Annotated[float, Meta(ge=-_MOST_SCORE, le=_MOST_SCORE)]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=_MOST_SCORE)]
Rows: TypeAlias = Annotated[int, Meta(ge=0, le=_MOST_ROWS)]
Positive: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e15)]
Physical: TypeAlias = Annotated[float, Meta(ge=0.0, le=_MOST_PHYSICAL)]
Signed: TypeAlias = Annotated[float, Meta(ge=-_MOST_PHYSICAL, le=_MOST_PHYSICAL)]
Sha256: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


# Names that stand in the code are listed once, there; a type checker takes them as texts.
if TYPE_CHECKING:
    Statistic: TypeAlias = str
    Tank: TypeAlias = str
    Pump: TypeAlias = str
else:
    Statistic = Literal[tuple(STATISTICS)]
    Tank = Literal[TANKS]
    Pump = Literal[PUMPS]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object whose keys are all known."""


def _record(name: str, keys: Iterable[str], kind: object, *default: object) -> type[object]:
    """Return a record with such keys, each of one kind."""
    fields: Any = [(key, kind, *default) for key in keys]
    return msgspec.defstruct(name, fields, frozen=True, forbid_unknown_fields=True)


Usual: Any = _record("Usual", (kind.name for kind in MODEL_KINDS), list[Share])


class DetectorRecord(Record, frozen=True):
    """The detector's class, by its name in the run config, and its options there."""

    model: Name
    options: Annotated[str, Meta(max_length=10_000)]


class OwnLayersRecord(Record, frozen=True):
    """Parameters that the model lacks, and which version of each site's own goes with it."""

    keys: Annotated[list[Name], Meta(min_length=1)]
    versions: dict[Name, Name]


class ManifestRecord(Record, frozen=True):
    """manifest.json: which file is whole, and where the model comes from."""

    format: Literal[1]
    model: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    files: dict[str, Sha256]
    run: Name
    strategy: Name
    detector: DetectorRecord
    made_with: Annotated[dict[Name, Name], Meta(min_length=1)]
    # Only where sites have layers of their own.
    own_layers: OwnLayersRecord | msgspec.UnsetType = msgspec.UNSET


class OneScalerRecord(Record, frozen=True):
    """The scaling of d features."""

    mean: list[Annotated[float, Meta(ge=-1e15, le=1e15)]]
    scale: list[Positive]
    clip: Annotated[float, Meta(gt=0.0, le=1000.0)]


class ScalerRecord(OneScalerRecord, frozen=True):
    """scaler.json: the scaling of d features, and those of single sites where they have some."""

    features: Annotated[list[Name], Meta(min_length=1)]
    sites: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], OneScalerRecord],
            Meta(min_length=1),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class FeaturesRecord(Record, frozen=True):
    """features.json: how features are made of readings."""

    window_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    step_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    statistics: Annotated[list[Statistic], Meta(min_length=1)]
    channels: Annotated[list[Name], Meta(min_length=1)]
    names: Annotated[list[Name], Meta(min_length=1)]
    window: Annotated[int, Meta(ge=1, le=100_000)]
    unread: list[Name]
    frozen_missing: bool
    # Rows of a recording that standardise it; left out where none do.
    baseline: Annotated[int, Meta(ge=2, le=10_000_000)] | msgspec.UnsetType = msgspec.UNSET


class SketchRecord(Record, frozen=True):
    """A site's scores of one kind of evidence; `Calibration.require_sound` says more."""

    count: Rows
    values: Annotated[list[Score], Meta(max_length=len(SKETCH_LEVELS))]


class CalibrationRecord(Record, frozen=True):
    """calibration.json: kinds of evidence, thresholds, the sites' scores of normal operation."""

    kinds: Annotated[list[Name], Meta(min_length=1, max_length=len(KINDS))]
    false_alarm_rate: Annotated[float, Meta(gt=0.0, le=0.5)]
    smoothing: Annotated[int, Meta(ge=1, le=1_000_000)]
    thresholds: dict[Name, Score | None]
    trim: Annotated[float, Meta(ge=0.0, le=0.5)]
    own_thresholds: bool
    floors: list[Physical | None]
    sites: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=64)], list[SketchRecord]],
        Meta(min_length=1),
    ]
    usual: Usual
    usual_of: Literal["twin", ""]


class SetPointRecord(Record, frozen=True):
    """When a pump or valve opens and closes, by levels in m."""

    tank: Tank
    on_below: Annotated[float, Meta(ge=0.0, le=1000.0)]
    off_above: Annotated[float, Meta(ge=0.0, le=1000.0)]


class BoundaryRecord(Record, frozen=True):
    """What crosses a district's border, and its tanks' cross-sections in m2."""

    areas: dict[Tank, Annotated[float, Meta(gt=0.0, le=_MOST_PHYSICAL)]]
    inflow: list[Pump]
    outflow: list[Pump]


_Area = Annotated[float, Meta(gt=0.0, le=_MOST_PHYSICAL)]
_Curve = Annotated[list[tuple[Physical, Physical]], Meta(min_length=2, max_length=1000)]
_Noise = Annotated[float, Meta(ge=0.0, le=10.0)]
_SENSORS = [node for tank in STATIONS for node in STATION_PRESSURES[tank]]
# A link without a rule never runs.
Rules: Any = _record("Rules", LINKS, SetPointRecord | msgspec.UnsetType, msgspec.UNSET)
Areas: Any = _record("Areas", TANKS, _Area)
Elevations: Any = _record("Elevations", _SENSORS, Signed)
Curves: Any = _record("Curves", PUMPS, _Curve)
Noise: Any = _record("Noise", DMAS, _Noise)
Boundaries: Any = _record("Boundaries", DMAS, BoundaryRecord)


class LawsRecord(Record, frozen=True):
    """What the laws of physics need to know of a plant; see ``twin.ctown.laws.PlantLaws``."""

    rules: Rules
    areas: Areas
    elevations: Elevations
    curves: Curves
    noise: Noise
    boundaries: Boundaries


_Week = Annotated[list[Signed], Meta(min_length=SLOTS, max_length=SLOTS)]


class PhysicsRecord(Record, frozen=True):
    """physics.json: the plants' laws, and the demand in L/s by district and hour of the week."""

    plants: Annotated[dict[Annotated[str, Meta(max_length=64)], LawsRecord], Meta(min_length=1)]
    expected: Annotated[list[_Week], Meta(min_length=len(DMAS), max_length=len(DMAS))] | None


#: File name -> what it may hold.
RECORDS: dict[str, type[Record]] = {
    "scaler.json": ScalerRecord,
    "features.json": FeaturesRecord,
    "calibration.json": CalibrationRecord,
    "physics.json": PhysicsRecord,
}
