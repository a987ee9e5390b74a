"""Settings as frozen dataclasses: each field states its default, its range and what it does.

A field named ``local_epochs`` is the run-config key ``local-epochs``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field
from typing import Any, TypeVar

from dtfl_app.core.errors import ConfigError

__all__ = ["Value", "key_of", "keys_of", "read_settings", "reject_unknown", "setting", "to_mapping"]

Value = bool | int | float | str
S = TypeVar("S")


def setting(
    default: Value,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Iterable[str] = (),
) -> Any:  # noqa: ANN401 - stands for the field's own type, like dataclasses.field
    """Declare one setting: its default, what it does and what it may be.

    Parameters
    ----------
    default : the value without a word from the user; its type is the setting's type.
    doc : one line for the settings table.
    low, high : inclusive bounds of a number.
    above : exclusive lower bound of a number.
    choices : the words a text setting may be; empty = any.
    """
    meta = {"doc": doc, "low": low, "high": high, "above": above, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=meta)


def key_of(field: Field[Any]) -> str:
    """Run-config key of a dataclass field."""
    return field.name.replace("_", "-")


def keys_of(cls: type) -> list[str]:
    """Run-config keys of a settings class, in order."""
    return [key_of(f) for f in dataclasses.fields(cls)]


def read_settings(cls: type[S], mapping: Mapping[str, Value]) -> S:
    """Build `cls` from the keys of `mapping` that it knows; the rest is left to others.

    Raises ConfigError when a value has the wrong type or is out of range.
    """
    fields: tuple[Field[Any], ...] = dataclasses.fields(cls)  # type: ignore[arg-type] # S is one
    known = {f.name: _checked(f, mapping[key_of(f)]) for f in fields if key_of(f) in mapping}
    return cls(**known)


def to_mapping(settings: object) -> dict[str, Value]:
    """Inverse of `read_settings`: run-config key -> value."""
    fields: tuple[Field[Any], ...] = dataclasses.fields(settings)  # type: ignore[arg-type]
    return {key_of(f): getattr(settings, f.name) for f in fields}


def reject_unknown(keys: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError for the first of `keys` that is not `known`, naming the nearest one."""
    known = list(known)
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see docs/settings.md for all keys"
            raise ConfigError(f"run config: unknown key {key!r}; {hint}")


def _checked(field: Field[Any], value: Value) -> Value:
    default: Value = field.default  # type: ignore[assignment] # `setting` requires a default
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ConfigError(
            f"run config: {key_of(field)} = {value!r} is {type(value).__name__}, "
            f"expected {type(default).__name__}, e.g. {key_of(field)}={_literal(default)}"
        )
    _check_range(field, value)
    return value


def _check_range(field: Field[Any], value: Value) -> None:
    meta = field.metadata
    choices = meta.get("choices", ())
    if choices and value not in choices:
        raise ConfigError(f"run config: {key_of(field)} = {value!r}; expected one of {choices}")
    if isinstance(value, str | bool):
        return
    low, high, above = meta.get("low"), meta.get("high"), meta.get("above")
    bad = (
        not math.isfinite(value)
        or (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    )
    if bad:
        raise ConfigError(f"run config: {key_of(field)} = {value!r}; expected {_range_text(meta)}")


def _range_text(meta: Mapping[str, Any]) -> str:
    parts = [
        f"above {meta['above']:g}" if meta.get("above") is not None else "",
        f"at least {meta['low']:g}" if meta.get("low") is not None else "",
        f"at most {meta['high']:g}" if meta.get("high") is not None else "",
    ]
    return " and ".join(p for p in parts if p) or "a finite number"


def _literal(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
