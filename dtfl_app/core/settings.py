"""Settings as frozen dataclasses: each field states its default, its range and what it does.

A class with ``group = "train"`` stands for the table ``[tool.flwr.app.config.train]``; its field
``batch_size`` is the run-config key ``train.batch-size``. A class without a group has plain keys. A
field may end in an underscore where its name is a Python keyword.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field
from typing import Any, Literal, TypeVar

from dtfl_app.core.errors import ConfigError

__all__ = [
    "Role",
    "Value",
    "fields_of",
    "flat",
    "group_of",
    "keys_of",
    "nearest",
    "read_settings",
    "reject_unknown",
    "setting",
    "to_mapping",
]

Value = bool | int | float | str
#: "path" names a file or folder, "data-file" a file that may lie in `data.dir`, "local" says where
#: or how a run runs and shapes no result, "local-path" both; "" is any other setting.
Role = Literal["", "path", "data-file", "local", "local-path"]
S = TypeVar("S")


def setting(
    default: Value,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Iterable[str] = (),
    role: Role = "",
) -> Any:  # noqa: ANN401 - stands for the field's own type, like dataclasses.field
    """Declare one setting: its default, what it does and what it may be.

    Parameters
    ----------
    default : the value without a word from the user; its type is the setting's type.
    doc : one line for the settings table.
    low, high : inclusive bounds of a number.
    above : exclusive lower bound of a number.
    choices : the words a text setting may be; empty = any.
    role : what else the app must know of it.
    """
    meta = {"doc": doc, "low": low, "high": high, "above": above, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata={**meta, "role": role})


def flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Write a TOML table with tables in it under keys with dots, as Flower does."""
    plain: dict[str, Any] = {}
    for key, value in table.items():
        inner = flat(value) if isinstance(value, Mapping) else None
        plain |= {key: value} if inner is None else {f"{key}.{k}": v for k, v in inner.items()}
    return plain


def group_of(settings: object) -> str:
    """Name of the table that a settings class, or an instance of one, stands for; "" for none."""
    return str(getattr(settings, "group", ""))


def fields_of(settings: Any) -> dict[str, Field[Any]]:  # noqa: ANN401 - any dataclass, or its type
    """Run-config key -> field, of a settings class or an instance of one, in order."""
    start = f"{group}." if (group := group_of(settings)) else ""
    return {
        start + field.name.rstrip("_").replace("_", "-"): field
        for field in dataclasses.fields(settings)
    }


def keys_of(cls: type) -> list[str]:
    """Run-config keys of a settings class, in order."""
    return list(fields_of(cls))


def read_settings(cls: type[S], mapping: Mapping[str, Value]) -> S:
    """Build `cls` from the keys of `mapping` that it knows; the rest is left to others.

    Raises ConfigError when a value has the wrong type or is out of range.
    """
    known = {
        field.name: _checked(key, field, mapping[key])
        for key, field in fields_of(cls).items()
        if key in mapping
    }
    return cls(**known)


def to_mapping(settings: object) -> dict[str, Value]:
    """Inverse of `read_settings`: run-config key -> value."""
    return {key: getattr(settings, field.name) for key, field in fields_of(settings).items()}


def reject_unknown(keys: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError for the first of `keys` that is not `known`, naming the nearest one."""
    known = list(known)
    for key in keys:
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else "see docs/settings.md for all keys"
            raise ConfigError(f"run config: unknown key {key!r}; {hint}")


def nearest(key: str, known: Collection[str]) -> str:
    """Return which of `known` is meant by `key`, whose group may be wrong; "" for none."""
    own = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == own]
    return next(iter(difflib.get_close_matches(key, same or known, n=1, cutoff=0.6)), "") or next(
        iter(same), ""
    )


def _checked(key: str, field: Field[Any], value: Value) -> Value:
    default: Value = field.default  # type: ignore[assignment] # `setting` requires a default
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ConfigError(
            f"run config: {key} = {value!r} is {type(value).__name__}, "
            f"expected {type(default).__name__}, e.g. {key}={_literal(default)}"
        )
    _check_range(key, field.metadata, value)
    return value


def _check_range(key: str, meta: Mapping[str, Any], value: Value) -> None:
    choices = meta.get("choices", ())
    if choices and value not in choices:
        raise ConfigError(f"run config: {key} = {value!r}; expected one of {choices}")
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
        raise ConfigError(f"run config: {key} = {value!r}; expected {_range_text(meta)}")


def _range_text(meta: Mapping[str, Any]) -> str:
    parts = [
        f"above {meta['above']:g}" if meta.get("above") is not None else "",
        f"at least {meta['low']:g}" if meta.get("low") is not None else "",
        f"at most {meta['high']:g}" if meta.get("high") is not None else "",
    ]
    return " and ".join(p for p in parts if p) or "a finite number"


def _literal(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
