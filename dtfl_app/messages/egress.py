"""What may leave a site, declared in one place: the records of each reply, and what errors say.

A site checks every reply against its declaration before it hands it over, so a slip in the code
that builds replies costs a round and no reading. An exception's text goes to the server in the
clear, and errors about data quote cells; what leaves of them is their type and place.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

import dtfl_app
import twin
from dtfl_app.core.errors import ConfigError, ReplyError, SiteError, TwinError
from dtfl_app.core.logs import log
from dtfl_app.detector.calibration import SKETCH_LEVELS
from dtfl_app.messages.quantise import SCALE
from twin.ctown.residuals import DemandSums

__all__ = [
    "ArraySpec",
    "Declaration",
    "MetricSpec",
    "calibration_reply",
    "deviations",
    "discreet_errors",
    "profile_reply",
    "require_declared",
    "training_reply",
]

# Their texts speak of settings, of what the server sent, and of the twin; never of a site's data.
_SAYABLE = (ConfigError, ReplyError, SiteError, TwinError)
_PACKAGES = tuple(Path(package.__path__[0]) for package in (dtfl_app, twin))


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array: its dtype's name and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One number, or a list of numbers of one type.

    Parameters
    ----------
    kind : int or float.
    lengths : how long the list may be; empty = a single number.
    """

    kind: type[int] | type[float]
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that one kind of reply may hold.

    Parameters
    ----------
    arrays : name -> array, in record "arrays"; None = no such record.
    metrics : name -> numbers, in record "metrics".
    identity : name -> type, in record "identity"; None = no such record.
    optional : metrics that may be missing.
    """

    arrays: Mapping[str, ArraySpec] | None
    metrics: Mapping[str, MetricSpec]
    identity: Mapping[str, type] | None
    optional: frozenset[str] = frozenset()


def profile_reply(features: int, channels: int, with_demand: bool) -> Declaration:
    """Declare the answer to the enrolment query.

    Parameters
    ----------
    features : number of features, each with its count, mean and sum of squared deviations.
    channels : number of sensors, each with three shares of unusable readings.
    with_demand : sums of demands by district and hour of the week are needed as evidence.
    """
    arrays = {name: ArraySpec("float64", (features,)) for name in ("n", "mean", "m2")}
    if with_demand:
        sums = ArraySpec("float64", DemandSums.none().count.shape)
        arrays |= {"demand-count": sums, "demand-total": sums}
    shares = MetricSpec(float, (channels,))
    return Declaration(
        arrays=arrays,
        metrics=dict.fromkeys(("missing", "frozen", "removed"), shares),
        identity={"site": str, "schema": str},
    )


def training_reply(
    shapes: Mapping[str, tuple[int, ...]], as_changes: bool, kinds: int
) -> Declaration:
    """Declare the answer to a training task.

    Parameters
    ----------
    shapes : parameter key -> shape, of the layers that the task asks for.
    as_changes : they travel as int8 changes, each array with its scale.
    kinds : kinds of evidence whose scores are sketched.
    """
    arrays: dict[str, ArraySpec] = {}
    for key, shape in shapes.items():
        arrays[f"model/{key}"] = ArraySpec("int8" if as_changes else "float32", tuple(shape))
        if as_changes:
            arrays[f"model/{key}{SCALE}"] = ArraySpec("float32", (1,))
    counts = {"num-examples": MetricSpec(int), "loss": MetricSpec(float), "steps": MetricSpec(int)}
    return Declaration(
        arrays=arrays,
        metrics={**counts, **_sketch_metrics(kinds)},
        identity={"site": str, "server-round": int},
        optional=frozenset({"calibration-scores"}),
    )


def calibration_reply(kinds: int) -> Declaration:
    """Declare the answer to the closing query, on `kinds` kinds of evidence."""
    return Declaration(None, _sketch_metrics(kinds), None, frozenset({"calibration-scores"}))


def _sketch_metrics(kinds: int) -> dict[str, MetricSpec]:
    """A sketch for each kind that has any scores."""
    levels = tuple(n * len(SKETCH_LEVELS) for n in range(1, kinds + 1))
    return {
        "calibration-counts": MetricSpec(int, (kinds,)),
        "calibration-scores": MetricSpec(float, levels),
    }


def deviations(
    content: RecordDict, arrays: Mapping[str, NDArray[np.generic]], declared: Declaration
) -> list[str]:
    """Say where a reply's content is not what is declared; nothing where it is.

    Parameters
    ----------
    content : the reply's records.
    arrays : the arrays of its record "arrays", unpacked.
    """
    wanted: dict[str, type] = {"metrics": MetricRecord}
    wanted |= {} if declared.arrays is None else {"arrays": ArrayRecord}
    wanted |= {} if declared.identity is None else {"identity": ConfigRecord}
    if {name: type(record) for name, record in content.items()} != wanted:
        return [f"records are {sorted(content)}, not {sorted(wanted)}"]
    metrics = content.metric_records["metrics"]
    identity = content.config_records.get("identity", ConfigRecord())
    return [
        *_wrong_arrays(arrays, declared.arrays or {}),
        *_wrong_metrics(metrics, declared),
        *_wrong_identity(identity, declared.identity or {}),
    ]


def require_declared(
    content: RecordDict, arrays: Mapping[str, NDArray[np.generic]], declared: Declaration
) -> None:
    """Raise SiteError, which names no value, where a reply is not what is declared."""
    found = deviations(content, arrays, declared)
    if found:
        raise SiteError(
            f"the reply was held back at the site, it differs from its declaration: "
            f"{'; '.join(found)}; see dtfl_app/messages/egress.py"
        )


@contextmanager
def discreet_errors() -> Iterator[None]:
    """Let no exception out whose text may quote data: log it here, raise a SiteError instead."""
    try:
        yield
    except _SAYABLE:
        raise
    # Everything else, whoever raised it: pandas and NumPy quote cells and rows.
    except Exception as error:
        log.logger.exception("what the server is not told:")
        raise SiteError(
            f"{type(error).__name__} at {_place(error)}; the site's own log has the full text"
        ) from None


def _place(error: Exception) -> str:
    """Innermost line of this app on the way to the error, or of a library where there is none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    ours = [f for f in frames if any(Path(f.filename).is_relative_to(p) for p in _PACKAGES)]
    where = (ours or frames)[-1]
    return f"{Path(where.filename).name}:{where.lineno}"


def _wrong_arrays(
    arrays: Mapping[str, NDArray[np.generic]], declared: Mapping[str, ArraySpec]
) -> list[str]:
    found = _wrong_names("array", arrays, declared)
    for name in arrays.keys() & declared.keys():
        got = ArraySpec(arrays[name].dtype.name, arrays[name].shape)
        if got != declared[name]:
            found.append(f"array {name!r} is {got.dtype} {got.shape}, not {declared[name]}")
    return sorted(found)


def _wrong_metrics(metrics: MetricRecord, declared: Declaration) -> list[str]:
    found = _wrong_names("metric", metrics, declared.metrics, declared.optional)
    for name in metrics.keys() & declared.metrics.keys():
        value, spec = metrics[name], declared.metrics[name]
        listed = value if isinstance(value, list) else [value]
        lengths = (len(value),) if isinstance(value, list) else ()
        if lengths != spec.lengths and not set(lengths) & set(spec.lengths):
            found.append(f"metric {name!r} has lengths {lengths}, not one of {spec.lengths}")
        elif any(type(number) is not spec.kind for number in listed):
            found.append(f"metric {name!r} holds other than {spec.kind.__name__}")
    return sorted(found)


def _wrong_identity(identity: ConfigRecord, declared: Mapping[str, type]) -> list[str]:
    found = _wrong_names("entry", identity, declared)
    for name in identity.keys() & declared.keys():
        if type(identity[name]) is not declared[name]:
            found.append(f"entry {name!r} is no {declared[name].__name__}")
    return sorted(found)


def _wrong_names(
    what: str,
    names: Mapping[str, object],
    declared: Mapping[str, object],
    optional: frozenset[str] = frozenset(),
) -> list[str]:
    more = [f"{what} {name!r}" for name in names.keys() - declared.keys()]
    return more + [f"no {what} {name!r}" for name in declared.keys() - names.keys() - optional]
