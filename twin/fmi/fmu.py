"""An FMU as it lies there: what it says of itself, held against what is wanted of it."""

from __future__ import annotations

import atexit
import hashlib
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from twin.errors import TwinError
from twin.fmi.fmu_file import FmuFile
from twin.schema import Schema

__all__ = ["check_fmu", "fmu_digest", "load_fmpy", "unpacked"]


def load_fmpy() -> Any:  # noqa: ANN401 - a module without types
    """Import FMPy; TwinError, with what to install, where it is not there."""
    try:
        import fmpy  # noqa: PLC0415 - an extra, and a third of a second to load
    except ImportError as error:
        raise TwinError(
            f"an FMU twin needs FMPy, which is not installed ({error}): pip install 'dtfl[fmi]'"
        ) from error
    return fmpy


def _describe(path: Path) -> Any:  # noqa: ANN401 - FMPy's description has no types
    try:
        return load_fmpy().read_model_description(str(path))
    except TwinError:
        raise
    except Exception as error:  # not a zip, no description in it, not one of FMI
        raise TwinError(f"{path}: cannot be read as an FMU ({error})") from error


def fmu_digest(told: FmuFile, schema: Schema) -> str:
    """Digest of the FMU, of what its file says, and of the schema; TwinError without an FMU."""
    try:
        content = hashlib.sha256(told.fmu.read_bytes()).hexdigest()
    except OSError as error:
        raise TwinError(f"{told.fmu}: the FMU cannot be read ({error})") from error
    rest = (told.channels, told.units, told.parameters, told.inputs, told.events)
    return hashlib.sha256(f"{content}{rest}{schema.digest()}".encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def unpacked(path: Path, digest: str) -> tuple[str, Any]:
    """Folder and description of an FMU, unpacked once a process and removed at its end."""
    about = _describe(path)
    folder: str = load_fmpy().extract(str(path))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, about


def check_fmu(told: FmuFile, schema: Schema) -> None:
    """Hold the file and the schema against what the FMU says of itself; TwinError else."""
    about, fmpy = _describe(told.fmu), load_fmpy()
    if about.fmiVersion[:1] not in "23" or about.coSimulation is None:
        raise TwinError(
            f"{told.fmu}: FMI {about.fmiVersion}"
            + ("" if about.coSimulation else ", without co-simulation")
            + "; expected FMI 2.0 or 3.0 for co-simulation: export it so"
        )
    platforms = list(fmpy.supported_platforms(str(told.fmu)))
    if fmpy.platform not in platforms and f"{fmpy.platform_tuple}" not in platforms:
        raise TwinError(
            f"{told.fmu}: holds binaries for {', '.join(platforms) or 'no platform'}; this machine "
            f"is {fmpy.platform}: export the model for it"
        )
    variables = {variable.name: variable for variable in about.modelVariables}
    _check_channels(told, schema, variables)
    driven = {*told.inputs, *(e.where for e in told.events.values() if not e.of_reading)}
    for name, wanted in {
        **dict.fromkeys(told.parameters, "parameter"),
        **dict.fromkeys(driven, "input"),
    }.items():
        found = _variable(told, variables, name)
        if found.causality != wanted or found.type not in ("Real", "Float64"):
            raise TwinError(
                f"{told.fmu}: {name!r} is a {found.causality} of type {found.type}; expected an "
                f"{wanted} of type Real or Float64"
            )
    for name, (low, high) in told.parameters.items():
        _check_range(told, name, variables[name], low, high)
    for event in told.events.values():
        if event.of_reading and event.where not in schema.names:
            raise TwinError(
                f"event {event.kind.name!r}: {event.where!r} is no channel of schema "
                f"{schema.name!r}; expected one of {schema.names}"
            )


def _check_channels(told: FmuFile, schema: Schema, variables: Mapping[str, Any]) -> None:
    stray = sorted(set(told.channels) - set(schema.names))
    if stray:
        raise TwinError(
            f"[channels] {stray[0]} is no channel of schema {schema.name!r}; expected some of "
            f"{schema.names}"
        )
    for channel in schema.channels:
        name = told.channels.get(channel.name, channel.name)
        unit = told.units.get(name) or _unit_of(_variable(told, variables, name))
        if unit is None:
            raise TwinError(
                f"{told.fmu}: variable {name!r} has no unit, and channel {channel.name!r} is in "
                f"{channel.unit!r}; if that is right, say so: [units] {name!r} = {channel.unit!r}"
            )
        if unit != channel.unit:
            raise TwinError(
                f"{told.fmu}: variable {name!r} is in {unit!r}, channel {channel.name!r} in "
                f"{channel.unit!r}; expected one unit: change the schema, or export the model in it"
            )


def _unit_of(variable: Any) -> str | None:  # noqa: ANN401
    declared = getattr(variable, "declaredType", None)
    unit: str | None = variable.unit or (declared.unit if declared is not None else None)
    return unit


def _variable(told: FmuFile, variables: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    if name not in variables:
        raise TwinError(
            f"{told.fmu}: has no variable {name!r}; expected one of "
            f"{', '.join(sorted(variables))}; say under [channels] which variable a channel is"
        )
    return variables[name]


def _check_range(told: FmuFile, name: str, variable: Any, low: float, high: float) -> None:  # noqa: ANN401
    bounds = [None if b in (None, "") else float(b) for b in (variable.min, variable.max)]
    if (bounds[0] is not None and low < bounds[0]) or (bounds[1] is not None and high > bounds[1]):
        raise TwinError(
            f"{told.fmu}: parameter {name!r} may be {bounds[0]} to {bounds[1]}, and [parameters] "
            f"draws it from {low:g} to {high:g}"
        )
