"""What a benchmark leaves: Parquet, Markdown and pictures, made from stored cells alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dtfl_app.bench.cells import BaselineCell, Cell, baseline_cells, cells_of, data_groups
from dtfl_app.bench.frames import cell_frame, round_frame
from dtfl_app.bench.grid import Grid, Variant
from dtfl_app.bench.grid_tables import (
    Table,
    cost_table,
    figure_table,
    short_table,
    sweep_table,
)
from dtfl_app.bench.pictures import (
    save_calibration,
    save_costs,
    save_curves,
    save_timeline,
    save_worst,
)
from dtfl_app.bench.provenance import provenance_line
from dtfl_app.bench.store import Store
from dtfl_app.core.text_tables import markdown
from dtfl_app.report.bench_reading import with_methods
from twin.files import write_atomically

__all__ = ["write_outputs"]

_READING = (
    "Mean ± standard deviation over seeds; costs are those up to the first model at the target, "
    "over the runs that reached it; figures are the last round's."
)


def write_outputs(grid: Grid, store: Store, results: Path, command: str) -> list[Path]:
    """Write tables and pictures of all finished cells; return the files.

    NAME.parquet has one line per cell and round, NAME_cells.parquet one per cell, NAME.md the
    tables, NAME_summary.md the short one, NAME_*.png the pictures.
    """
    results.mkdir(parents=True, exist_ok=True)
    cells, baselines = cells_of(grid), baseline_cells(grid)
    frame = cell_frame(cells, baselines, store, grid.targets)
    rounds = round_frame(cells, store)
    paths = [results / f"{grid.name}.parquet", results / f"{grid.name}_cells.parquet"]
    for path, table in zip(paths, (rounds, frame), strict=True):
        write_atomically(path, table.to_parquet(index=False))
    pictures = _pictures(grid, store, frame, rounds, results) if len(rounds) else []
    origin = provenance_line(command, [store.about(d) for d in dict.fromkeys(frame["digest"])])
    every: list[Cell | BaselineCell] = [*cells, *baselines]
    missing = [cell.name for cell in every if cell.digest not in store]
    page = _page(grid, frame, [path.name for path in pictures], missing)
    paths.append(_write(results / f"{grid.name}.md", [f"# {grid.title}", *page, origin]))
    short = _short(grid, frame) if len(rounds) else []
    paths.append(_write(results / f"{grid.name}_summary.md", [*short, origin]))
    return [*paths, *pictures]


def _page(grid: Grid, frame: pd.DataFrame, pictures: list[str], missing: list[str]) -> list[str]:
    parts = [grid.notes, _READING]
    if missing:
        parts.append(f"**Cells missing: {len(missing)}**, the first is {missing[0]}.")
    if frame.empty:
        return parts
    groups = data_groups(grid)
    for variants in groups:
        title = _group_title(variants) if len(groups) > 1 else ""
        parts.append(f"## {title or 'Cost of the target'}")
        parts.append(_text(cost_table(frame, grid, variants)))
        parts.append(f"## {title + ': where it ended' if title else 'Where it ended'}")
        parts.append(_text(figure_table(frame, grid, variants)))
    for sweep in grid.sweeps:
        parts.append(f"## Varied: {sweep.name}")
        parts.append(_text(sweep_table(frame, grid, sweep)))
    return [*parts, *(f"![{name}]({name})" for name in pictures)]


def _short(grid: Grid, frame: pd.DataFrame) -> list[str]:
    parts = [grid.notes]
    groups = data_groups(grid)
    for variants in groups:
        if len(groups) > 1:
            parts.append(f"**{_group_title(variants)}**")
        parts.append(_text(short_table(frame, grid, variants)))
    return parts


def _pictures(
    grid: Grid, store: Store, frame: pd.DataFrame, rounds: pd.DataFrame, results: Path
) -> list[Path]:
    """Draw the main table's cells; pictures that would be empty are not drawn."""
    main = with_methods(frame[(frame["kind"] == "federated") & (frame["sweep"] == "")])
    if main.empty:
        return []
    at = {
        kind: results / f"{grid.name}_{kind}.png"
        for kind in ("curves", "costs", "worst", "calibration", "timeline")
    }
    save_curves(rounds, grid, at["curves"])
    save_costs(main, grid, at["costs"])
    save_calibration(main, grid, at["calibration"])
    drawn = [at["curves"], at["costs"], at["calibration"]]
    if save_worst(main, grid, at["worst"]):
        drawn.append(at["worst"])
    best = _best(main)
    title = f"{best['method']}, seed {best['seed']}"
    if save_timeline(store.alarms(best["digest"]), title, at["timeline"]):
        drawn.append(at["timeline"])
    return drawn


def _best(main: pd.DataFrame) -> pd.Series:
    """The first cell, in the file's order, of the best method.

    That is the one with the highest mean S, or balanced accuracy where S is not defined.
    """
    first = main[main["variant"] == main["variant"].iloc[0]]
    figure = "s" if "s" in first and first["s"].notna().any() else "balanced_accuracy"
    mean = first.groupby("row", sort=False)[figure].mean()
    best: pd.Series = first[first["row"] == mean.fillna(-1.0).idxmax()].iloc[0]
    return best


def _group_title(variants: Sequence[Variant]) -> str:
    return " / ".join(variant.name or "as by default" for variant in variants)


def _text(table: Table) -> str:
    return markdown(table.head, table.rows)


def _write(path: Path, parts: Sequence[str]) -> Path:
    write_atomically(path, ("\n\n".join(part for part in parts if part) + "\n").encode())
    return path
