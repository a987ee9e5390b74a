"""From a strategy's name, or an import path, to the class and its settings.

Third parties are found by import path (``my_pkg.mine:Mine``) or by an entry point in the group
``dtfl.strategies``.
"""

from __future__ import annotations

from itertools import chain

from flwr.serverapp.strategy import Strategy

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.registry import Registry, option_names, parse_options, reject_options
from dtfl_app.core.settings import Value, group_of, read_settings, reject_unknown, to_mapping
from dtfl_app.rounds.rules import rule_of
from dtfl_app.rounds.strategy import DTFLStrategy
from dtfl_app.rounds.workbench import Workbench
from dtfl_app.strategies.flower import as_method

__all__ = [
    "BUILT_IN",
    "STRATEGIES",
    "create_strategy",
    "default_settings",
    "find_strategy",
    "strategy_names",
]

_OPTIONS = "strategy-options"


def _is_strategy(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Strategy)


#: What the setting `strategy` can name.
STRATEGIES = Registry(
    "strategy",
    "a subclass of DTFLStrategy, or of Flower's Strategy",
    {
        "fedavg": "dtfl_app.strategies.fedavg:FedAvg",
        "fedprox": "dtfl_app.strategies.fedprox:FedProx",
        "fedadam": "dtfl_app.strategies.fedadam:FedAdam",
        "fednova": "dtfl_app.strategies.fednova:FedNova",
        "scaffold": "dtfl_app.strategies.scaffold:SCAFFOLD",
        "fedper": "dtfl_app.strategies.fedper:FedPer",
        "fedbn": "dtfl_app.strategies.fedbn:FedBN",
        "dtml": "dtfl_app.strategies.dtml:DTML",
        "fpf": "dtfl_app.strategies.fpf:FPF",
        "lpe": "dtfl_app.strategies.lpe:LPE",
        "cwa": "dtfl_app.strategies.cwa:CWA",
        "dtkd": "dtfl_app.strategies.dtkd:DTKD",
        "feddf": "dtfl_app.strategies.feddf:FedDF",
    },
    "dtfl.strategies",
    _is_strategy,
)

#: Short name -> class of each of ours, whose settings are keys of the run config.
BUILT_IN: dict[str, type[DTFLStrategy]] = {
    name: STRATEGIES.find(name) for name in STRATEGIES.built_in
}


def strategy_names(config: RunConfig) -> list[str]:
    """Split the `strategy` setting; every name is known and none occurs twice, or ConfigError.

    So is every entry of `strategy-options`, to one of them at least, and the rule by which they
    aggregate.
    """
    rule_of(config.trust)
    names = _names(config)
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            f"run config: strategy = {config.run.strategy!r}; expected one or several different "
            f"names out of {STRATEGIES.names()} or import paths, separated by commas"
        )
    # with the app's own keys, so that the nearest of all is named
    reject_unknown(config.extra, [*RunConfig.from_mapping({}).to_mapping(), *default_settings()])
    _options(config, names)
    return names


def find_strategy(name: str) -> type[DTFLStrategy]:
    """Return the strategy class that `name` stands for, or raise ConfigError."""
    found: type[DTFLStrategy] = as_method(STRATEGIES.find(name))
    return found


def create_strategy(name: str, bench: Workbench) -> DTFLStrategy:
    """Build the strategy with its settings from the run config.

    Of `strategy-options` it takes those that it has; the run's other strategies have the rest.
    """
    cls, config = find_strategy(name), bench.config
    given, own = _options(config, [name, *_names(config)]), option_names(cls.Settings)
    start = f"{group}." if (group := group_of(cls.Settings)) else ""
    options = {start + key: value for key, value in given.items() if key in own}
    return cls(name, read_settings(cls.Settings, {**config.extra, **options}), bench)


def default_settings() -> dict[str, Value]:
    """Keys and defaults of all built-in strategies."""
    return dict(chain.from_iterable(to_mapping(c.Settings()).items() for c in BUILT_IN.values()))


def _names(config: RunConfig) -> list[str]:
    return [name.strip() for name in config.run.strategy.split(",") if name.strip()]


def _options(config: RunConfig, names: list[str]) -> dict[str, Value]:
    """Read `strategy-options`; ConfigError for one that none of the strategies named has."""
    given = parse_options(_OPTIONS, config.run.strategy_options)
    known = chain.from_iterable(option_names(find_strategy(name).Settings) for name in names)
    reject_options(_OPTIONS, given, list(dict.fromkeys(known)))
    return given
