"""Keys of version 0.1, when all settings stood in one table, old values, and their names of today.

A user who writes an old one is told the new one; what an old run stored is read as it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value

__all__ = ["RENAMED", "RENAMED_VALUES", "modern", "refuse_old"]

#: Group -> its keys that had the same name without it.
_GROUPED = {
    "round": "fraction weighting quorum late late-exponent",
    "trust": "aggregation trim malicious norm-limit witness witness-limit twin-limit twin-strikes",
    "privacy": "dp",
    "data": "schema partition dirichlet-alpha protocol held-out unseen-families known-attacks "
    "evaluation-file channels calibration-share clip",
    "detector": "model window hidden latent evidence smoothing false-alarm-rate",
    "train": "lr batch-size",
    "wire": "upload-precision download-precision",
    "fedadam": "eta beta-1 beta-2 tau",
}
#: Group -> the word and the keys that followed it.
_PREFIXED = {
    "round": ("round", "timeout retries"),
    "state": ("state", "dir limit-mb"),
    "privacy": ("dp", "clip epsilon delta"),
    "data": ("data", "dir seed"),
    "plants": ("plant", "days gap"),
    "features": ("feature", "window-s step-s statistics"),
    "twin": (
        "twin",
        "network plant recording scenarios hours families demand-factor roughness-factor "
        "threshold-factor steps lr warm-start warm-steps workers",
    ),
    "fedprox": ("prox", "mu"),
    "dtml": ("meta", "lr steps batch"),
    "fpf": ("fusion", "gamma temperature"),
    "lpe": ("lpe", "policy low high stall"),
    "cwa": ("cwa", "schedule"),
    "dtkd": ("kd", "side lambda temperature precision"),
}

#: Old key -> new key.
RENAMED: Mapping[str, str] = {
    **{key: f"{group}.{key}" for group, keys in _GROUPED.items() for key in keys.split()},
    **{
        f"{word}-{key}": f"{group}.{key}"
        for group, (word, keys) in _PREFIXED.items()
        for key in keys.split()
    },
    "twin": "twin.kind",
    "clip-updates": "trust.clip",
    "local-epochs": "train.epochs",
}

#: Key of today -> old value -> new value.
RENAMED_VALUES: Mapping[str, Mapping[Value, Value]] = {
    "data.protocol": {"unseen-attacks": "unseen-events"},
}


def modern(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return stored settings under the names of today; those of today are left as they are."""
    named = {RENAMED.get(key, key): value for key, value in settings.items()}
    return {key: _modern_value(key, value) for key, value in named.items()}


def refuse_old(settings: Mapping[str, Value], where: str = "run config") -> None:
    """Raise ConfigError for the first key of version 0.1 or old value, naming that of today."""
    for key, value in settings.items():
        if (now := _modern_value(key, value)) != value:
            raise ConfigError(f'{where}: {key}: {value!r} is now {now!r}; write {key}="{now}"')
        if key in RENAMED:
            text = f'"{value}"' if isinstance(value, str) else str(value).lower()
            raise ConfigError(
                f"{where}: {key} is now {RENAMED[key]}; write {RENAMED[key]}={text} "
                "(docs/settings.md has all keys)"
            )


def _modern_value(key: str, value: Value) -> Value:
    return RENAMED_VALUES[key].get(value, value) if key in RENAMED_VALUES else value
