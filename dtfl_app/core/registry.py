"""What a name in the run config stands for: one of ours, a package's own, or an import path."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value, fields_of, group_of, nearest, read_settings

__all__ = [
    "NoOptions",
    "Registry",
    "option_names",
    "parse_options",
    "read_options",
    "refuse_options",
    "reject_options",
]


_LONGEST = 120


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Options of what has none."""


@dataclass(frozen=True, slots=True)
class Registry:
    """All that one key of the run config can name.

    Parameters
    ----------
    key : the run-config key, e.g. "strategy".
    what : what is named, for errors, e.g. "a subclass of DTFLStrategy".
    built_in : short name -> import path ``pkg.module:Name``; imported when it is named.
    group : entry point group in which installed packages register names of their own.
    fits : tells whether what was imported is of this kind.
    """

    key: str
    what: str
    built_in: Mapping[str, str]
    group: str
    fits: Callable[[Any], bool] = callable

    def names(self) -> list[str]:
        """Every short name, installed packages' too, sorted."""
        return sorted({*self.built_in, *(entry.name for entry in self._registered())})

    def find(self, name: str) -> Any:  # noqa: ANN401 - what it is, its caller knows
        """Return what `name` stands for.

        Raises ConfigError for no such name, with all there are; for one that cannot be imported,
        or is of another kind; and for one that two packages register differently.
        """
        found = self._imported(name, self.built_in.get(name) or self._path(name))
        if not self.fits(found):
            raise ConfigError(
                f"run config: {self.key} = {name!r} is {_short(found)}, not {self.what}"
            )
        return found

    def _imported(self, name: str, path: str) -> Any:  # noqa: ANN401 - as of `find`
        module, _, attribute = path.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except Exception as error:  # whatever a module of somebody's own raises as it is loaded
            raise ConfigError(
                f"run config: {self.key} = {name!r} cannot be imported: "
                f"{type(error).__name__}: {error}; expected "
                f"{self.what}, as pkg.module:Name of a module that Python can import here"
            ) from error
        return found

    def _path(self, name: str) -> str:
        paths = sorted({entry.value for entry in self._registered() if entry.name == name})
        if len(paths) > 1:
            raise ConfigError(
                f"run config: {self.key} = {name!r} is registered by several packages, as "
                f"{' and '.join(paths)}; write the one that is meant instead of its name"
            )
        if paths:
            return paths[0]
        if ":" in name:
            return name
        near = nearest(name, self.names())
        raise ConfigError(
            f"run config: {self.key} = {name!r} is unknown; expected one of "
            f"{', '.join(self.names())}, or {self.what} as pkg.module:Name"
            + (f"; did you mean {near!r}?" if near else "")
        )

    def _registered(self) -> list[EntryPoint]:
        return list(entry_points(group=self.group))


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def read_options(cls: type, key: str, text: str, usual: str = "") -> Any:  # noqa: ANN401 - an instance of `cls`
    """Build a class of `setting` fields from the text that a run-config key holds.

    Parameters
    ----------
    cls : a frozen dataclass of `setting` fields.
    key : the run-config key, for errors, e.g. "strategy-options".
    text : TOML pairs separated by commas, e.g. ``half-life=8.0, mode="fast"``.
    usual : the like, for options that `text` leaves out.

    Raises ConfigError for text that is no such list, a key that `cls` has not, or a bad value.
    """
    given = {**parse_options(key, usual), **parse_options(key, text)}
    reject_options(key, given, option_names(cls))
    start = f"{group}." if (group := group_of(cls)) else ""
    return read_settings(cls, {start + name: value for name, value in given.items()})


def parse_options(key: str, text: str) -> dict[str, Value]:
    """Return what the pairs of `text` say, as of `read_options`; ConfigError for no such list."""
    try:
        given: dict[str, Value] = tomllib.loads(f"options = {{{text}}}")["options"]
        return given
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"run config: {key} = {text!r} cannot be read ({error}); "
            'expected key=value pairs separated by commas, e.g. alpha=0.1, mode="fast"'
        ) from error


def option_names(cls: type) -> list[str]:
    """Names by which the options of a class are given: its keys without its group's name."""
    start = f"{group}." if (group := group_of(cls)) else ""
    return [key.removeprefix(start) for key in fields_of(cls)]


def reject_options(key: str, given: Mapping[str, Value], known: list[str]) -> None:
    """Raise ConfigError for the first of the options given that is not known."""
    for name in given:
        if name not in known:
            near = nearest(name, known)
            raise ConfigError(
                f"run config: {key}: unknown option {name!r}; "
                + (f"did you mean {near!r}? " if near else "")
                + (f"expected one of {', '.join(known)}" if known else "there is none")
            )


def refuse_options(key: str, text: str, why: str) -> None:
    """Raise ConfigError where options are given to what has none; `why` ends the sentence."""
    if parse_options(key, text):
        raise ConfigError(f"run config: {key} = {text!r}, but {why}; leave it empty")
