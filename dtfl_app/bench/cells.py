"""From a grid to its cells, each with complete settings, and to the Flower runs that give them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from dtfl_app.bench.grid import Grid, TableRow, Variant
from dtfl_app.core.config import PLACES, RunConfig
from dtfl_app.core.data_sections import DataSettings, FeatureSettings, PlantSettings
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.core.settings import Value, keys_of, read_settings, to_mapping
from dtfl_app.detector.models import require_detector
from dtfl_app.strategies.registry import default_settings, find_strategy, strategy_names

__all__ = [
    "BaselineCell",
    "Cell",
    "FlowerRun",
    "baseline_cells",
    "cells_of",
    "data_groups",
    "merge",
]

# Where files lie on this machine has no part in what comes out.


@dataclass(frozen=True, slots=True)
class Cell:
    """One method, variant, fold, sweep point and seed.

    Parameters
    ----------
    row, variant, fold, sweep, point, seed : its place in the grid; sweep "" = the main table.
    common : every setting that is not a strategy's own.
    own : the settings of its own strategy.
    digest : 16 hexadecimal digits of both: equal digests mean equal results.
    """

    row: str
    variant: str
    fold: str
    sweep: str
    point: str
    seed: int
    common: Mapping[str, Value]
    own: Mapping[str, Value]
    digest: str

    @property
    def strategy(self) -> str:
        """Name of its method."""
        return str(self.common["strategy"])

    @property
    def name(self) -> str:
        """Place in the grid as one text, for people and for `--only`."""
        parts = [self.row, self.variant, self.fold, self.sweep, self.point, f"seed {self.seed}"]
        return " | ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class BaselineCell:
    """The rows that do not federate, for one variant's data, fold and seed."""

    variant: str
    fold: str
    seed: int
    settings: Mapping[str, Value]
    digest: str

    @property
    def name(self) -> str:
        """Place in the grid as one text, for people and for `--only`."""
        parts = ["baselines", self.variant, self.fold, f"seed {self.seed}"]
        return " | ".join(part for part in parts if part)


@dataclass(slots=True)
class FlowerRun:
    """One start of the engine that gives several cells, one after the other.

    Parameters
    ----------
    first : name of its first cell.
    settings : run-config keys, all that its cells need.
    cells : strategy -> digest of the cell it gives.
    """

    first: str
    settings: dict[str, Value]
    cells: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its first cell's name, and how many cells more it gives."""
        more = len(self.cells) - 1
        return f"{self.first} (and {more} more)" if more else self.first

    def takes(self, cell: Cell) -> bool:
        """Whether this run can give `cell` too: same settings, and its strategy is not yet here."""
        return (
            cell.strategy not in self.cells
            and all(self.settings[k] == v for k, v in cell.common.items() if k != "strategy")
            and all(self.settings.get(k, v) == v for k, v in cell.own.items())
        )

    def add(self, cell: Cell) -> None:
        """Let this run give `cell` too."""
        self.cells[cell.strategy] = cell.digest
        self.settings |= {**cell.common, **cell.own, "strategy": ",".join(self.cells)}


def cells_of(grid: Grid) -> list[Cell]:
    """Return all cells, seed by seed within each variant and sweep point.

    Raises ConfigError with the file and the cell's place when its settings are not valid.
    """
    return [*_main_cells(grid), *_sweep_cells(grid)]


def baseline_cells(grid: Grid) -> list[BaselineCell]:
    """Return the cells of the baselines, one per variant; equal data gives equal digests."""
    if not grid.baselines:
        return []
    return [
        _baseline(grid, variant, fold, seed)
        for variant in grid.variants
        for fold in _folds(grid, variant)
        for seed in variant.seeds or grid.seeds
    ]


def data_groups(grid: Grid) -> list[list[Variant]]:
    """Variants by the data they are judged on: those of a group share their baselines."""
    groups: dict[str, list[Variant]] = {}
    for variant in grid.variants:
        fold, seed = _folds(grid, variant)[0], grid.seeds[0]
        groups.setdefault(_baseline(grid, variant, fold, seed).digest, []).append(variant)
    return list(groups.values())


def merge(cells: Iterable[Cell]) -> list[FlowerRun]:
    """Join cells that differ only in the strategy into one run each: a start costs many rounds."""
    runs: list[FlowerRun] = []
    for cell in {cell.digest: cell for cell in cells}.values():
        run = next((run for run in runs if run.takes(cell)), None)
        if run is None:
            run = FlowerRun(cell.name, dict(cell.common))
            runs.append(run)
        run.add(cell)
    return runs


def _main_cells(grid: Grid) -> Iterator[Cell]:
    for variant in grid.variants:
        for fold in _folds(grid, variant):
            for row in _rows(grid, variant.rows):
                for seed in variant.seeds or grid.seeds:
                    layers = [grid.settings, row.settings, variant.settings, _fold(grid, fold)]
                    yield _cell(grid, row, layers, seed, variant=variant.name, fold=fold)


def _sweep_cells(grid: Grid) -> Iterator[Cell]:
    for sweep in grid.sweeps:
        for point in sweep.points:
            for row in _rows(grid, sweep.rows):
                for seed in sweep.seeds or grid.seeds:
                    layers = [grid.settings, row.settings, sweep.settings, point.settings]
                    yield _cell(grid, row, layers, seed, sweep=sweep.name, point=point.label)


def _cell(
    grid: Grid,
    row: TableRow,
    layers: Sequence[Mapping[str, Value]],
    seed: int,
    variant: str = "",
    fold: str = "",
    sweep: str = "",
    point: str = "",
) -> Cell:
    chosen = _chosen(grid, layers, seed)
    cell = Cell(row.name, variant, fold, sweep, point, seed, chosen, {}, "")
    try:
        common, own = _complete(chosen)
    except ConfigError as error:
        raise ConfigError(f"{grid.path}: {cell.name}: {error}") from error
    digest = _digest({**common, **own})
    return Cell(row.name, variant, fold, sweep, point, seed, common, own, digest)


# What the rows that do not federate depend on.
_OF_DATA = (DataSettings, PlantSettings, FeatureSettings, DetectorSettings)


def _baseline(grid: Grid, variant: Variant, fold: str, seed: int) -> BaselineCell:
    # A warm start or fewer rounds make no other data, so no other baselines.
    keys = {"dataset", "dataset-options", "sites", *chain.from_iterable(map(keys_of, _OF_DATA))}
    data = {k: v for k, v in variant.settings.items() if k in keys}
    common, _ = _complete(_chosen(grid, [grid.settings, data, _fold(grid, fold)], seed))
    settings = {k: v for k, v in common.items() if k != "strategy"}
    digest = _digest({**settings, "cell": "baselines"})
    return BaselineCell(variant.name, fold, seed, settings, digest)


def _chosen(grid: Grid, layers: Sequence[Mapping[str, Value]], seed: int) -> dict[str, Value]:
    """Later layers override earlier ones; the seed of data follows the seed unless fixed."""
    chosen: dict[str, Value] = {
        "sites": grid.sites,
        "target": grid.targets[0],
        "data.seed": seed,
    }
    for layer in layers:
        chosen |= layer
    return {**chosen, "seed": seed}


def _complete(chosen: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Every setting with its default filled in: those of all runs, and the strategy's own."""
    config = RunConfig.from_mapping(chosen)
    (name,) = strategy_names(config)
    require_detector(config.detector)
    everyone = {k: v for k, v in config.to_mapping().items() if k not in config.extra}
    common = {k: v for k, v in everyone.items() if k not in PLACES}
    # A strategy of one's own has its settings in `strategy-options`, which all runs share.
    known = default_settings()
    own = to_mapping(read_settings(find_strategy(name).Settings, config.extra))
    return common, {k: v for k, v in own.items() if k in known}


def _digest(settings: Mapping[str, Value]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _rows(grid: Grid, names: Sequence[str]) -> list[TableRow]:
    return [grid.row(name) for name in names] or list(grid.rows)


def _folds(grid: Grid, variant: Variant) -> list[str]:
    if grid.folds is None or not variant.folds:
        return [""]
    return [str(value) for value in grid.folds.values]


def _fold(grid: Grid, label: str) -> dict[str, Value]:
    if grid.folds is None or not label:
        return {}
    return {grid.folds.key: next(v for v in grid.folds.values if str(v) == label)}
