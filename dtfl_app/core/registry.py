"""What a name in the run config stands for: one of ours, a package's own, or an import path."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value, fields_of, nearest, read_settings

__all__ = ["Registry", "read_options"]


@dataclass(frozen=True, slots=True)
class Registry:
    """All that one key of the run config can name.

    Parameters
    ----------
    key : the run-config key, e.g. "strategy".
    what : what is named, for errors, e.g. "a subclass of DTFLStrategy".
    built_in : short name -> import path ``pkg.module:Name``; imported when it is named.
    group : entry point group in which installed packages register names of their own.
    """

    key: str
    what: str
    built_in: Mapping[str, str]
    group: str

    def names(self) -> list[str]:
        """Every short name, installed packages' too, sorted."""
        return sorted({*self.built_in, *self._registered()})

    def find(self, name: str) -> Any:  # noqa: ANN401 - what it is, its caller knows
        """Return what `name` stands for; ConfigError, with all names there are, for no such one."""
        path = self.built_in.get(name) or self._path(name)
        module, _, attribute = path.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"run config: {self.key} = {name!r} cannot be imported: {error}; expected "
                f"{self.what}, as pkg.module:Name of a module that Python can import here"
            ) from error
        return found

    def _path(self, name: str) -> str:
        if (entry := self._registered().get(name)) is not None:
            return entry.value
        if ":" in name:
            return name
        near = nearest(name, self.names())
        raise ConfigError(
            f"run config: {self.key} = {name!r} is unknown"
            + (f"; did you mean {near!r}? " if near else "; ")
            + f"expected one of {', '.join(self.names())}, or {self.what} as pkg.module:Name"
        )

    def _registered(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group)}


def read_options(cls: type, key: str, text: str) -> Any:  # noqa: ANN401 - an instance of `cls`
    """Build a class of `setting` fields from the text that a run-config key holds.

    Parameters
    ----------
    cls : a frozen dataclass of `setting` fields.
    key : the run-config key, for errors, e.g. "strategy-options".
    text : TOML pairs separated by commas, e.g. ``half-life=8.0, mode="fast"``.

    Raises ConfigError for text that is no such list, a key that `cls` has not, or a bad value.
    """
    try:
        given: dict[str, Value] = tomllib.loads(f"options = {{{text}}}")["options"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"run config: {key} = {text!r} cannot be read ({error}); "
            'expected key=value pairs separated by commas, e.g. alpha=0.1, mode="fast"'
        ) from error
    known = list(fields_of(cls))
    for name in given:
        if name not in known:
            raise ConfigError(
                f"run config: {key} has {name!r}; expected "
                + (f"one of {', '.join(known)}" if known else f"nothing: {cls.__name__} has none")
            )
    return read_settings(cls, given)
