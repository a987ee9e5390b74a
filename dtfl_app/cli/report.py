"""dtfl report: one HTML page from the folder of a run or the results of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.cli.new import title_of
from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.config import SECTIONS
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import fields_of
from dtfl_app.report.bench_page import bench_page
from dtfl_app.report.bench_reading import read_bench
from dtfl_app.report.reading import read_run
from dtfl_app.report.run_page import run_page
from dtfl_app.report.run_tables import SettingReference
from dtfl_app.strategies.registry import BUILT_IN
from twin.files import write_atomically

__all__ = ["report"]


def report(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="folder of a run, or NAME.parquet of a bench")
    ],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; default RUN/report.html, NAME.html")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(help="a bench's folder of finished cells, its --work")
    ] = None,
) -> None:
    """Write one HTML page on a run or a benchmark that needs no network and no other file.

    What is unfinished is reported as far as it went.
    """
    reference = list(_setting_references())
    with clear_errors():
        if path.suffix == ".parquet":
            page = bench_page(read_bench(path, cells), reference)
            target = out or path.with_suffix(".html")
        else:
            _reject_cells(cells)
            page = run_page(read_run(path), reference)
            target = out or path / "report.html"
        _write(target, page)
        typer.echo(target)


def _reject_cells(cells: Path | None) -> None:
    if cells is not None:
        raise ConfigError(f"--cells {cells}: belongs to a benchmark's NAME.parquet, not to a run")


def _write(target: Path, page: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, page.encode())
    except OSError as error:
        raise ConfigError(
            f"{target}: the page cannot be written ({error}); name another file with --out"
        ) from error


def _setting_references() -> Iterator[SettingReference]:
    """Every setting of the app and of its strategies, with the title of its section."""
    own = [("", title_of(section), section) for section in SECTIONS]
    strategies = [(f"{name}: ", "Single strategies", c.Settings) for name, c in BUILT_IN.items()]
    for prefix, title, section in [*own, *strategies]:
        for key, field in fields_of(section).items():
            doc = prefix + field.metadata["doc"]
            yield SettingReference(key, title, field.default, doc)
