"""From a strategy's name, or an import path, to the class and its settings.

Third parties are found by import path (``my_pkg.mine:Mine``) or by an entry point in the group
``dtfl.strategies``.
"""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import entry_points
from itertools import chain

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import (
    Value,
    group_of,
    keys_of,
    read_settings,
    reject_unknown,
    to_mapping,
)
from dtfl_app.rounds.strategy import DTFLStrategy
from dtfl_app.rounds.workbench import Workbench
from dtfl_app.strategies.cwa import CWA
from dtfl_app.strategies.dtkd import DTKD
from dtfl_app.strategies.dtml import DTML
from dtfl_app.strategies.fedadam import FedAdam
from dtfl_app.strategies.fedavg import FedAvg
from dtfl_app.strategies.feddf import FedDF
from dtfl_app.strategies.fedprox import FedProx
from dtfl_app.strategies.flower import as_method
from dtfl_app.strategies.fpf import FPF
from dtfl_app.strategies.lpe import LPE

__all__ = ["BUILT_IN", "create_strategy", "default_settings", "find_strategy", "strategy_names"]

BUILT_IN: dict[str, type[DTFLStrategy]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fedadam": FedAdam,
    "dtml": DTML,
    "fpf": FPF,
    "lpe": LPE,
    "cwa": CWA,
    "dtkd": DTKD,
    "feddf": FedDF,
}


def strategy_names(config: RunConfig) -> list[str]:
    """Split the `strategy` setting; every name is known and none occurs twice, or ConfigError."""
    names = [n.strip() for n in config.run.strategy.split(",") if n.strip()]
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            f"run config: strategy = {config.run.strategy!r}; expected one or several different "
            f"names out of {sorted(BUILT_IN)} or import paths, separated by commas"
        )
    for name in names:
        find_strategy(name)
    # with the app's own keys, so that the nearest of all is named
    reject_unknown(config.extra, [*RunConfig.from_mapping({}).to_mapping(), *default_settings()])
    return names


def find_strategy(name: str) -> type[DTFLStrategy]:
    """Return the strategy class that `name` stands for, or raise ConfigError."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    registered = {e.name: e.value for e in entry_points(group="dtfl.strategies")}
    module, _, attribute = registered.get(name, name).partition(":")
    try:
        found = as_method(getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"run config: strategy {name!r} is unknown ({error}); expected one of "
            f"{sorted(BUILT_IN)} or an import path like my_pkg.mine:Mine that Python can import"
        ) from error
    if not (isinstance(found, type) and issubclass(found, DTFLStrategy)):
        raise ConfigError(
            f"run config: strategy {name!r} is not a subclass of DTFLStrategy or Flower's Strategy"
        )
    return found


def create_strategy(name: str, bench: Workbench) -> DTFLStrategy:
    """Build the strategy with its settings from the run config."""
    cls = find_strategy(name)
    start = f"{group}." if (group := group_of(cls.Settings)) else ""
    given = _options(bench.config.run.strategy_options)
    options = {start + key: value for key, value in given.items()}
    if name not in BUILT_IN:
        reject_unknown(options, keys_of(cls.Settings))
    return cls(name, read_settings(cls.Settings, {**bench.config.extra, **options}), bench)


def default_settings() -> dict[str, Value]:
    """Keys and defaults of all built-in strategies."""
    return dict(chain.from_iterable(to_mapping(c.Settings()).items() for c in BUILT_IN.values()))


def _options(text: str) -> dict[str, Value]:
    """Parse ``key=value, key=value`` with TOML values."""
    try:
        options: dict[str, Value] = tomllib.loads(f"options = {{{text}}}")["options"]
        return options
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"run config: strategy-options = {text!r} cannot be read ({error}); "
            'expected key=value pairs separated by commas, e.g. alpha=0.1, mode="fast"'
        ) from error
