"""A benchmark as a small TOML file: rows (methods) x variants x folds x seeds, and sweeps."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtfl_app.core.config import PLACES
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value, flat

__all__ = ["Folds", "Grid", "Point", "Sweep", "TableRow", "Variant", "read_grid"]

Settings = Mapping[str, Value]

# Where runs are stored is the bench's to say; a seed in the settings would make all seeds one.


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the table: a method with its settings.

    Parameters
    ----------
    name : how the table calls it.
    settings : run-config keys; `strategy` names exactly one method.
    paper : rounds to the target as published, for the table.
    """

    name: str
    settings: Settings
    paper: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """Settings that every row is crossed with, e.g. a warm start or a protocol.

    Parameters
    ----------
    name : shown beside the row's name; "" for the plain one.
    settings : run-config keys; they override the row's.
    rows : names of the rows that take part; empty = all.
    seeds : instead of the grid's; empty = those.
    folds : whether the grid's folds apply.
    """

    name: str = ""
    settings: Settings = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    folds: bool = True


@dataclass(frozen=True, slots=True)
class Folds:
    """A further crossing, averaged like seeds; its worst value is shown, e.g. held-out wells."""

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a sweep and the settings it stands for."""

    label: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Sweep:
    """What happens when one setting (or a few together) is varied: one small table.

    Parameters
    ----------
    name : title of its table.
    rows : names of the rows it varies.
    points : the values.
    settings : for all its points; a point's settings override these.
    seeds : instead of the grid's; empty = those.
    """

    name: str
    rows: tuple[str, ...]
    points: tuple[Point, ...]
    settings: Settings = field(default_factory=dict)
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """A whole benchmark.

    Parameters
    ----------
    path : the file, for messages.
    name : stem of the result files.
    title, notes : heading of the result page, and what a reader must know.
    sites : number of sites, unless settings say otherwise.
    seeds : every cell runs once per seed; the seed of data follows it unless settings fix it.
    targets : balanced accuracies; the first is the target of the tables.
    baselines : whether the rows that do not federate are measured too.
    settings : run-config keys of every cell.
    """

    path: Path
    name: str
    title: str
    notes: str
    sites: int
    seeds: tuple[int, ...]
    targets: tuple[float, ...]
    baselines: bool
    settings: Settings
    rows: tuple[TableRow, ...]
    variants: tuple[Variant, ...]
    sweeps: tuple[Sweep, ...]
    folds: Folds | None

    def row(self, name: str) -> TableRow:
        """Return the row called `name`."""
        return next(row for row in self.rows if row.name == name)


def read_grid(path: Path) -> Grid:
    """Read a grid; ConfigError names the file and the key when anything is unknown or wrong."""
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); expected a grid in TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    top = _Table(path, "", content)
    grid = Grid(
        path=path,
        name=_file_stem(top),
        title=top.text("title"),
        notes=top.text("notes", ""),
        sites=_at_least_one(top),
        seeds=_seeds(top, (0, 1, 2, 3, 4)),
        targets=_targets(top),
        baselines=top.flag("baselines", True),
        settings=top.settings(),
        rows=tuple(_row(t) for t in top.tables("row")),
        variants=tuple(_variant(t) for t in top.tables("variant")) or (Variant(),),
        sweeps=tuple(_sweep(t) for t in top.tables("sweep")),
        folds=_folds(top),
    )
    top.close()
    _check_names(grid)
    return grid


class _Table:
    """One table of the file; its keys are taken one by one, and what is left over is unknown."""

    def __init__(self, path: Path, where: str, content: Mapping[str, Any]) -> None:
        self.path, self.where = path, where
        self._left = dict(content)
        self._known: list[str] = []

    def fail(self, key: str, got: object, expected: str) -> ConfigError:
        place = f"{self.where}: " if self.where else ""
        return ConfigError(f"{self.path}: {place}{key} = {got!r}; expected {expected}")

    def take(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - TOML's own types
        self._known.append(key)
        value = self._left.pop(key, default)
        if value is None:
            place = f"{self.where}: " if self.where else ""
            raise ConfigError(f"{self.path}: {place}key {key!r} is missing")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.take(key, default)
        if not isinstance(value, str):
            raise self.fail(key, value, "text in quotes")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, value, "true or false")
        return value

    def texts(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        values = self.take(key, default)
        if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
            raise self.fail(key, values, 'a list of names, e.g. ["CWA"]')
        return tuple(values)

    def values(self, key: str) -> tuple[Value, ...]:
        values = self.take(key)
        plain = isinstance(values, list) and all(isinstance(v, Value) for v in values)
        if not plain or not values:
            raise self.fail(key, values, "a list with at least one number, text or true/false")
        return tuple(values)

    def settings(self) -> Settings:
        chosen = self.take("settings", {})
        if not isinstance(chosen, dict):
            raise self.fail("settings", chosen, "a table of run-config keys")
        chosen = flat(chosen)
        for key, value in chosen.items():
            if key in PLACES | {"seed"}:
                raise self.fail(f"settings.{key}", value, "no such key here: the bench sets it")
            if not isinstance(value, Value):
                raise self.fail(f"settings.{key}", value, "a number, a text or true/false")
        return chosen

    def tables(self, key: str) -> list[_Table]:
        entries = self.take(key, [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise self.fail(key, entries, f"tables, each under a heading [[{key}]]")
        # A point of a sweep has a label where the other tables have a name.
        named = [(e.get("name", e.get("label", n)), e) for n, e in enumerate(entries, start=1)]
        return [_Table(self.path, f"{self._prefix()}[[{key}]] {name!r}", e) for name, e in named]

    def _prefix(self) -> str:
        return f"{self.where}: " if self.where else ""

    def close(self) -> None:
        for key, value in self._left.items():
            near = difflib.get_close_matches(key, self._known, n=1)
            hint = f"{near[0]!r}, perhaps" if near else f"one of {sorted(set(self._known))}"
            raise self.fail(f"unknown key {key!r}", value, hint)


def _row(table: _Table) -> TableRow:
    row = TableRow(table.text("name"), table.settings(), table.text("paper", ""))
    strategy = row.settings.get("strategy", "")
    if not isinstance(strategy, str) or not strategy or "," in strategy:
        raise table.fail("settings.strategy", strategy, 'one method, e.g. strategy = "cwa"')
    table.close()
    return row


def _variant(table: _Table) -> Variant:
    variant = Variant(
        name=table.text("name"),
        settings=table.settings(),
        rows=table.texts("rows", ()),
        seeds=_seeds(table, ()),
        folds=table.flag("folds", True),
    )
    table.close()
    return variant


def _sweep(table: _Table) -> Sweep:
    sweep = Sweep(
        name=table.text("name"),
        rows=table.texts("rows"),
        points=_points(table),
        settings=table.settings(),
        seeds=_seeds(table, ()),
    )
    table.close()
    return sweep


def _points(table: _Table) -> tuple[Point, ...]:
    """`key` and `values`, or `points` of several keys each; not both."""
    key = table.text("key", "")
    if key:
        found = [Point(str(value), {key: value}) for value in table.values("values")]
        if table.tables("points"):
            raise table.fail("points", "...", "either key and values, or points")
        return tuple(found)
    found = []
    for entry in table.tables("points"):
        found.append(Point(entry.text("label"), entry.settings()))
        entry.close()
    if not found:
        raise table.fail("points", [], "key and values, or points = [{label=..., settings={...}}]")
    return tuple(found)


def _folds(top: _Table) -> Folds | None:
    content = top.take("folds", {})
    if not content:
        return None
    if not isinstance(content, dict):
        raise top.fail("folds", content, "a table with key and values")
    table = _Table(top.path, "[folds]", content)
    folds = Folds(table.text("key"), table.values("values"))
    table.close()
    return folds


def _seeds(table: _Table, default: tuple[int, ...]) -> tuple[int, ...]:
    seeds = table.take("seeds", default)
    whole = isinstance(seeds, list | tuple) and all(type(s) is int and s >= 0 for s in seeds)
    if not whole or len(set(seeds)) < len(seeds) or (default and not seeds):
        raise table.fail("seeds", seeds, "different whole numbers from 0, e.g. [0, 1, 2]")
    return tuple(seeds)


def _targets(top: _Table) -> tuple[float, ...]:
    targets = top.take("targets", (0.8,))
    shares = isinstance(targets, list | tuple) and all(
        isinstance(t, float) and 0 < t <= 1 for t in targets
    )
    if not shares or not targets or len(set(targets)) < len(targets):
        raise top.fail("targets", targets, "balanced accuracies in (0, 1], e.g. [0.8, 0.9]")
    return tuple(targets)


def _at_least_one(top: _Table) -> int:
    sites = top.take("sites", 10)
    if type(sites) is not int or sites < 1:
        raise top.fail("sites", sites, "a whole number from 1")
    return sites


def _file_stem(top: _Table) -> str:
    name = top.text("name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise top.fail("name", name, "small letters, digits, - and _: it names the result files")
    return name


def _check_names(grid: Grid) -> None:
    rows = [row.name for row in grid.rows]
    if not rows:
        raise ConfigError(f"{grid.path}: no [[row]]; expected at least one method")
    for kind, names in (
        ("row", rows),
        ("variant", [v.name for v in grid.variants]),
        ("sweep", [s.name for s in grid.sweeps]),
    ):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ConfigError(f"{grid.path}: [[{kind}]] {twice[0]!r} is there twice")
    parts: list[Variant | Sweep] = [*grid.variants, *grid.sweeps]
    for part in parts:
        for name in part.rows:
            if name not in rows:
                kind = type(part).__name__.lower()
                raise ConfigError(
                    f"{grid.path}: [[{kind}]] {part.name!r}: row {name!r} is unknown; "
                    f"expected one of {rows}"
                )
