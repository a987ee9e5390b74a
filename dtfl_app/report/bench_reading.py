"""What a benchmark's result files hold: its tidy tables, its notes and, if given, its best cell."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.report.reading import RunContents, StoredFile, read_run

__all__ = ["BenchContents", "method_name", "read_bench", "with_methods"]

_ROUND_COLUMNS = ("row", "variant", "sweep", "seed", "round", "balanced_accuracy")
_CELL_COLUMNS = ("row", "variant", "sweep", "point", "seed", "kind", "digest", "balanced_accuracy")
_TARGET = "rounds_to_"


@dataclass(frozen=True, slots=True, eq=False)
class BenchContents:
    """A benchmark's results in memory.

    Parameters
    ----------
    name : stem of the result files.
    title : heading of its Markdown page.
    notes : what that page says before its first table.
    origin : command, commit, date, versions and hardware, as that page's last line says.
    rounds : one line per cell and round; column "method" names row and variant.
    cells : one line per cell, federated or not; column "method" likewise.
    targets : balanced accuracies that costs are stored for, as text; the first is the main one.
    example : the folder of the best cell; None when the cells' folder was not given.
    files : what the page is made from.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    origin: str
    rounds: pd.DataFrame
    cells: pd.DataFrame
    targets: tuple[str, ...]
    example: RunContents | None
    files: list[StoredFile]

    @property
    def main(self) -> pd.DataFrame:
        """Federated cells outside the sweeps."""
        return self.cells[(self.cells["kind"] == "federated") & (self.cells["sweep"] == "")]

    @property
    def baselines(self) -> pd.DataFrame:
        """Cells without a federation, each once though several variants share it."""
        found = self.cells[self.cells["kind"] == "baseline"]
        return found.drop_duplicates(["row", "digest"])


def read_bench(path: Path, store: Path | None) -> BenchContents:
    """Read NAME.parquet and the files beside it; raises DataError when one is missing or damaged.

    Parameters
    ----------
    path : NAME.parquet as `dtfl bench` wrote it.
    store : the folder of finished cells (its `--work`), for the best cell's timeline and settings.
    """
    beside = [path.with_name(f"{path.stem}{end}") for end in ("_cells.parquet", ".md")]
    rounds = _table(path, _ROUND_COLUMNS)
    cells = _table(beside[0], _CELL_COLUMNS)
    title, notes, origin = _words(beside[1])
    targets = tuple(c.removeprefix(_TARGET) for c in cells.columns if c.startswith(_TARGET))
    if not targets:
        raise DataError(f"{beside[0]}: no column {_TARGET}TARGET; write the tables anew")
    bench = BenchContents(
        path.stem, title, notes, origin, rounds, cells, targets, None, _files([path, *beside])
    )
    if store is None or bench.main.empty:
        return bench
    folder = store / "cells" / _best_digest(bench.main)
    return BenchContents(
        path.stem, title, notes, origin, rounds, cells, targets, read_run(folder), bench.files
    )


def method_name(row: str, variant: str) -> str:
    """How a row of a variant is called; the plain variant goes without its name."""
    return f"{row}, {variant}" if variant else row


def with_methods(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of rows and variants with their names in a column "method"."""
    names = [method_name(*place) for place in zip(table["row"], table["variant"], strict=True)]
    return table.assign(method=pd.Series(names, index=table.index, dtype=object))


def _best_digest(cells: pd.DataFrame) -> str:
    """First cell of the method with the highest mean balanced accuracy at the end."""
    means = cells.groupby("method", sort=False)["balanced_accuracy"].mean()
    return str(cells.loc[cells["method"] == means.idxmax(), "digest"].iloc[0])


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); give NAME.parquet of `dtfl bench`, with "
            "NAME_cells.parquet and NAME.md beside it"
        ) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"{path}: columns {missing} are missing; give NAME.parquet of `dtfl bench`")
    return with_methods(table)


def _words(path: Path) -> tuple[str, tuple[str, ...], str]:
    """Title, paragraphs before the first table, and last paragraph of a Markdown page."""
    try:
        parts = [p.strip() for p in path.read_text().split("\n\n") if p.strip()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); write the tables anew") from error
    if not parts or not parts[0].startswith("# "):
        raise DataError(f"{path}: begins without a '# ' heading; write the tables anew")
    tables = [i for i, part in enumerate(parts) if part.startswith(("##", "|"))]
    notes = parts[1 : tables[0] if tables else len(parts) - 1]
    return parts[0].removeprefix("# "), tuple(map(_plain, notes)), _plain(parts[-1])


def _plain(markdown: str) -> str:
    """Drop the marks of bold and code, which mean nothing on the page."""
    return markdown.replace("**", "").replace("`", "")


def _files(paths: list[Path]) -> list[StoredFile]:
    contents = [(path.name, path.read_bytes()) for path in paths]
    return [StoredFile(name, len(c), hashlib.sha256(c).hexdigest()) for name, c in contents]
