"""Run config -> one frozen, validated, typed object.

Keys stand in groups, ``twin.steps``, which are tables of ``[tool.flwr.app.config]``; the few that
say what is run stand in none. Every key has its default here; pyproject.toml repeats them because
``flwr run --run-config`` only overrides keys it finds there, and a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from dtfl_app.core.data_sections import DataSettings, FeatureSettings, PlantSettings
from dtfl_app.core.model_sections import DetectorSettings, TrainSettings, TwinSettings
from dtfl_app.core.renamed import refuse_old
from dtfl_app.core.sections import (
    PrivacySettings,
    RoundSettings,
    RunSettings,
    StateSettings,
    TrustSettings,
    WireSettings,
)
from dtfl_app.core.settings import Role, Value, fields_of, read_settings, to_mapping

__all__ = ["PLACES", "SECTIONS", "RunConfig", "keys_with"]


SECTIONS = (
    RunSettings,
    RoundSettings,
    StateSettings,
    TrustSettings,
    PrivacySettings,
    DataSettings,
    PlantSettings,
    FeatureSettings,
    DetectorSettings,
    TrainSettings,
    WireSettings,
    TwinSettings,
)


def keys_with(*roles: Role) -> frozenset[str]:
    """Keys of the settings that have one of these roles."""
    return frozenset(
        key
        for section in SECTIONS
        for key, field in fields_of(section).items()
        if field.metadata["role"] in roles
    )


#: Keys that say where a run's files are.
PLACES = keys_with("local-path") | {"run-name"}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All settings of a run.

    `extra` holds the keys that belong to strategies; the strategies' registry checks them.
    """

    run: RunSettings
    round: RoundSettings
    state: StateSettings
    trust: TrustSettings
    privacy: PrivacySettings
    data: DataSettings
    plants: PlantSettings
    features: FeatureSettings
    detector: DetectorSettings
    train: TrainSettings
    wire: WireSettings
    twin: TwinSettings
    extra: Mapping[str, Value]

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Value]) -> RunConfig:
        """Read Flower's run config; raises ConfigError naming the key, value and range."""
        refuse_old(mapping)
        own = {key for section in SECTIONS for key in fields_of(section)}
        sections: dict[str, Any] = {
            field.name: read_settings(section, mapping)
            for field, section in zip(fields(cls), SECTIONS, strict=False)
        }
        extra = {key: value for key, value in mapping.items() if key not in own}
        return cls(**sections, extra=extra)

    def to_mapping(self) -> dict[str, Value]:
        """Every key and value, as `from_mapping` reads them."""
        flat: dict[str, Value] = {}
        for field in fields(self)[:-1]:
            flat.update(to_mapping(getattr(self, field.name)))
        return {**flat, **self.extra}
