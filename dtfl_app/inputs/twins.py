"""Which twin a run has: ours by short name, or somebody's own, by the setting `twin.kind`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DTFLError, TwinError
from dtfl_app.core.model_sections import TwinSettings
from dtfl_app.core.registry import NoOptions, Registry, read_options, refuse_options
from dtfl_app.core.settings import to_mapping
from dtfl_app.sites.federation import FederatedDataset, OwnTwin
from dtfl_app.sites.folders import file_in
from dtfl_app.sites.readers import read_table
from twin.base import Surroundings, Twin, TwinFactory
from twin.ctown.channels import SCADA
from twin.ctown.defaults import SETPOINTS, default_plant
from twin.ctown.network import network_of
from twin.ctown.plant import PlantModel
from twin.ctown.simulate import CTownTwin
from twin.recorded import RecordedTwin
from twin.schema import Schema

__all__ = ["TWINS", "is_ctown", "make_twin", "own_plant", "require_twin", "twin_kind"]


_OPTIONS = "twin.options"


@dataclass(frozen=True, slots=True)
class _Ours:
    """A kind of twin with keys of its own in the run config, built from them and the data set's."""

    build: Callable[[RunConfig, FederatedDataset], Twin]


def _is_twin(found: object) -> bool:
    return isinstance(found, _Ours) or callable(getattr(found, "from_options", None))


#: What the setting `twin.kind`, or a data set's own twin, can name.
TWINS = Registry(
    "twin.kind",
    "auto, none, or a class with from_options (docs/twin.md)",
    {
        "ctown": "dtfl_app.inputs.twins:CTOWN",
        "epanet": "twin.epanet.simulate:EpanetTwin",
        "recorded": "dtfl_app.inputs.twins:RECORDED",
        "fmi": "twin.fmi.simulate:FmuTwin",
        "function": "twin.function:FunctionTwin",
    },
    "dtfl.twins",
    _is_twin,
)


def twin_kind(config: RunConfig, dataset: FederatedDataset) -> str:
    """Return what the run's twin is called, or "none"; with "auto" it is the data set's own."""
    named = config.twin.kind
    return dataset.own_twin.kind if named == "auto" else named


def make_twin(config: RunConfig, dataset: FederatedDataset) -> Twin | None:
    """Build the twin that the run config asks for; None for "none".

    Raises ConfigError for a twin that is unknown, has not the options given, or whose channels,
    units or period are not the sites'.
    """
    found, options = _found(config, dataset)
    if found is None:
        return None
    if isinstance(found, _Ours):
        twin = found.build(config, dataset)
    else:
        twin = _of_ones_own(found, options, config, dataset)
    _require_same_channels(twin.schema, dataset.schema)
    return twin


def require_twin(config: RunConfig, dataset: FederatedDataset) -> None:
    """Raise ConfigError for a twin that is unknown, or has not the options given; builds none."""
    _found(config, dataset)


def _found(config: RunConfig, dataset: FederatedDataset) -> tuple[_Ours | TwinFactory | None, Any]:
    """Return what the run's twin is built by, and its options; None for a run without."""
    kind, text = twin_kind(config, dataset), config.twin.options
    if kind == "none":
        refuse_options(_OPTIONS, text, "this run has no twin")
        return None, None
    found = TWINS.find(kind)
    if isinstance(found, _Ours):
        refuse_options(_OPTIONS, text, f"the twin {kind!r} has none")
        return found, None
    _refuse_keys_of_ours(kind, config.twin)
    own = dataset.own_twin
    usual = own.options if own.kind == kind else ""
    return found, read_options(getattr(found, "Options", NoOptions), _OPTIONS, text, usual)


def _of_ones_own(
    found: TwinFactory,
    options: Any,  # noqa: ANN401 - an instance of its `Options`
    config: RunConfig,
    dataset: FederatedDataset,
) -> Twin:
    kind = twin_kind(config, dataset)
    try:
        twin = found.from_options(options, Surroundings(dataset.schema, file_in(config, "")))
    except DTFLError:
        raise
    except Exception as error:  # whatever a class of somebody's own raises
        raise TwinError(
            f"twin {kind!r} cannot be built: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(twin, Twin):
        raise ConfigError(
            f"run config: twin.kind = {kind!r} builds {type(twin).__name__}, which is no twin; "
            "expected schema, fingerprint, plan and simulate, as twin.base.Twin has them"
        )
    return twin


def _refuse_keys_of_ours(kind: str, settings: TwinSettings) -> None:
    """Nothing that is given is dropped without a word."""
    usual, given = to_mapping(TwinSettings()), to_mapping(settings)
    for key in _KEYS_OF_OURS:
        if given[key] != usual[key]:
            raise ConfigError(
                f"run config: {key} = {given[key]!r} is for the twins ctown and recorded, and "
                f"twin.kind is {kind!r}; give it by {_OPTIONS}"
            )


_KEYS_OF_OURS = (
    "twin.network",
    "twin.plant",
    "twin.recording",
    "twin.demand-factor",
    "twin.roughness-factor",
    "twin.threshold-factor",
)


def _require_same_channels(twin: Schema, sites: Schema) -> None:
    """Refuse a twin of other channels, units or period than the sites'."""
    here, there = _channels(twin), _channels(sites)
    if here != there:
        parts = [
            ("only the twin has", [c for c in here if c not in there]),
            ("only the sites have", [c for c in there if c not in here]),
        ]
        told = "; ".join(f"{who} {', '.join(names)}" for who, names in parts if names)
        raise ConfigError(
            "the twin's channels are not the sites': "
            + (told or f"their order is {', '.join(here)} and {', '.join(there)}")
            + '; choose the twin that belongs to the dataset, or twin.kind = "none"'
        )
    if twin.period_s != sites.period_s:
        raise ConfigError(
            f"the twin gives a sample every {twin.period_s:g} s, the sites one every "
            f'{sites.period_s:g} s; resample the sites\' files, or choose twin.kind = "none"'
        )


def is_ctown(dataset: FederatedDataset) -> bool:
    """Whether the sites are plants of C-Town's layout, with its channels."""
    same = _channels(dataset.schema) == _channels(SCADA)
    return dataset.own_twin.kind == "ctown" and same


def _channels(schema: Schema) -> list[str]:
    return [f"{channel.name} [{channel.unit}]" for channel in schema.channels]


def own_plant(config: RunConfig, own: OwnTwin) -> PlantModel:
    """Return the plant that the run config names, or the data set's, as its owner knows it."""
    settings = config.twin
    if settings.plant:
        path = Path(settings.plant)
        try:
            return PlantModel.from_json(path.read_text(), str(path))
        except OSError as error:
            raise ConfigError(
                f"run config: twin.plant = {settings.plant!r} cannot be read ({error}); "
                "expected a JSON file of 'dtfl twin calibrate'"
            ) from error
    plant = default_plant(_network(config, own))
    if own.published_rules and not settings.network:
        plant = replace(plant, setpoints=SETPOINTS)
    return plant


def _simulated_plant(config: RunConfig, own: OwnTwin) -> PlantModel:
    """Return the plant that the twin simulates: the owner's, made wrong by what is asked for."""
    settings = config.twin
    plant = own_plant(config, own)
    plant = plant.scaled(settings.demand_factor, settings.roughness_factor)
    tops = {name: tank.max_level for name, tank in network_of(plant).tanks.items()}
    return plant.with_thresholds(settings.threshold_factor, tops)


def _network(config: RunConfig, own: OwnTwin) -> str:
    named = config.twin.network
    if named or own.network is None:
        return "" if named == "embedded" else named
    if not own.network.exists():
        raise ConfigError(
            f"no network file for the twin of dataset = {config.run.dataset!r}: {own.network} is "
            'missing; name one with twin.network, or set twin.network="embedded" for the '
            "uncalibrated plant, which fits it badly"
        )
    return str(own.network)


def _recorded(config: RunConfig, dataset: FederatedDataset) -> RecordedTwin:
    """The recording that is named, as a labelled series or like a site's file, or the set's."""
    schema, path = dataset.schema, dataset.own_twin.recording
    if config.twin.recording:
        path = file_in(config, config.twin.recording)
        table = read_table(path, dataset.site_schema.csv)
        if set(schema.columns) <= set(table.columns):
            return RecordedTwin(path, schema)
    if path is None:
        raise ConfigError(
            'run config: twin.kind = "recorded" needs twin.recording, the path of a labelled '
            "series or of a file in the sites' schema"
        )
    return RecordedTwin.from_series(dataset.read_recording(path), schema, str(path))


CTOWN = _Ours(lambda config, dataset: CTownTwin(_simulated_plant(config, dataset.own_twin)))
RECORDED = _Ours(_recorded)
