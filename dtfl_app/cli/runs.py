"""dtfl checkpoints, dtfl compare, and the settings of a run that is taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.renamed import modern
from dtfl_app.core.settings import Value
from dtfl_app.results.checkpoint import CheckpointFolder, more_rounds, require_same_run
from dtfl_app.results.comparison import compare_runs
from dtfl_app.results.resuming import find_checkpoint, read_about, run_folder

__all__ = ["checkpoints", "compare", "resumed_settings", "resumed_sites"]


def checkpoints(path: Annotated[Path, typer.Argument(help="folder of a run")]) -> None:
    """List a run's checkpoints, each read and verified; exit code 1 when one is damaged."""
    with clear_errors():
        stored = CheckpointFolder(run_folder(path) / "checkpoints").stored()
    table = Table("checkpoint", "strategy", title=f"checkpoints of {path.name}")
    for title in ("round", "kB"):
        table.add_column(title, justify="right")
    table.add_column("state")
    for c in stored:
        cells = (c.path.name, c.strategy, str(c.round), f"{c.size / 1e3:.1f}")
        table.add_row(*cells, Text(c.fault, style="red") if c.fault else "good")
    console = plain_console()
    console.print(table if stored else "no checkpoints")
    good = [c for c in stored if not c.fault]
    if good:
        console.print(f"go on: dtfl run resume={good[-1].path}", soft_wrap=True, highlight=False)
    if len(good) < len(stored):
        raise typer.Exit(1)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN1", help="folder of a run")],
    second: Annotated[Path, typer.Argument(metavar="RUN2", help="folder of another")],
) -> None:
    """Tell whether two runs ended the same, byte for byte; exit code 1 when they did not."""
    with clear_errors():
        found = compare_runs(first, second)
    what = (
        f"{found.lines} lines of metrics.jsonl, {found.tensors} tensors of models, "
        f"{found.files} other files"
    )
    if not found.differences:
        typer.echo(f"the same, byte for byte: {what}")
        return
    typer.echo(f"not the same; compared: {what}")
    if found.settings:
        typer.echo(f"settings: {found.settings}")
    for difference in found.differences:
        typer.echo(difference)
    raise typer.Exit(1)


def resumed_settings(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Fill in all settings of the run that `resume` names; raise CheckpointError for others.

    `resume` is a run's folder, its name under results-dir, or a checkpoint in it.
    """
    named = _place(str(chosen["resume"]), str(chosen.get("results-dir") or "results"))
    folder = run_folder(named)
    stored = modern(read_about(folder)["settings"])
    finished = named == folder and (folder / "summary.json").exists()
    if finished and not more_rounds(stored, chosen):
        raise ConfigError(
            f"{folder} is a finished run: there is nothing to go on with. To repeat its end, name "
            "one of its checkpoints; for more rounds, say how many in all: "
            f"resume={folder} rounds=N, N above {stored['rounds']}"
        )
    places: dict[str, Value] = {
        "resume": str(named), "results-dir": str(folder.parent), "run-name": folder.name,
    }  # fmt: skip
    full = {**stored, **chosen, **places}
    checkpoint = find_checkpoint(named)[1]
    require_same_run(checkpoint, RunConfig.from_mapping(full).to_mapping())
    return full


def resumed_sites(folder: Path, sites: int) -> int:
    """Return how many sites a run has: as set, or as many as took part in it."""
    return sites or len(json.loads((folder / "quality.json").read_text()))


def _place(resume: str, results: str) -> Path:
    path, name = Path(resume).expanduser(), Path(results).expanduser() / resume
    return (name if not path.exists() and name.exists() else path).absolute()
