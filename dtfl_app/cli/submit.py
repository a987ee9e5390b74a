"""dtfl submit: a federation of real sites, on a SuperLink that runs already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dtfl_app.cli.app_folder import HELP as APP_HELP
from dtfl_app.cli.app_folder import open_app
from dtfl_app.cli.run import follow, parse_settings
from dtfl_app.cli.runs import resumed_settings
from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.config import RunConfig, keys_with
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.naming import run_name
from dtfl_app.core.settings import Value
from dtfl_app.detector.models import require_detector
from dtfl_app.engine.launch import submit as submit_run
from dtfl_app.results.show import show_run
from dtfl_app.strategies.registry import strategy_names

__all__ = ["submit"]


def submit(
    superlink: Annotated[str, typer.Argument(help="its name in Flower's config.toml")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="settings as key=value; paths from the root")
    ] = None,
    app_dir: Annotated[Path | None, typer.Option("--app", help=APP_HELP)] = None,
) -> None:
    """Train with the sites that are connected to a SuperLink, and show what came of it.

    Paths are those of the SuperLink's host, where the app's server side runs and the results are
    written (`results-dir`). Interrupted, this command leaves the run going on.
    """
    console = plain_console()
    with clear_errors(), open_app(app_dir) as app:
        chosen = _complete(app.settings(parse_settings(settings or [])))
        app.require(chosen)
        strategy_names(config := RunConfig.from_mapping(chosen))
        require_detector(config.detector)
        try:
            follow(_announced(submit_run(superlink, app.path, chosen), console), console)
        except KeyboardInterrupt:
            console.print(f"the run goes on; flwr ls {superlink} lists it, flwr stop ends it")
            raise typer.Exit(130) from None
        path = Path(str(chosen["results-dir"])) / str(chosen["run-name"])
        if path.is_dir():
            show_run(path, console)
        else:
            console.print(f"results are on the SuperLink's host, in {path}", highlight=False)


def _announced(lines: Iterator[str], console: Console) -> Iterator[str]:
    """Show Flower's number of the run, which its own commands want."""
    for line in lines:
        if line.startswith("Successfully started run"):
            console.print(line, highlight=False)
        yield line


def _complete(chosen: Mapping[str, Value]) -> dict[str, Value]:
    if not chosen.get("results-dir") and not chosen.get("resume"):
        raise ConfigError(
            "results-dir is not set; expected a folder on the SuperLink's host, from the root, "
            "e.g. results-dir=/var/lib/dtfl/results"
        )
    paths = keys_with("path", "local-path")
    files = frozenset() if chosen.get("data.dir") else keys_with("data-file")
    for key in sorted(paths | files):
        value = str(chosen.get(key, ""))
        if value and value != "embedded" and not Path(value).is_absolute():
            raise ConfigError(
                f"{key} = {value!r}; expected a path from the root, since the app runs in a folder "
                "of Flower's on the SuperLink's host"
            )
    if chosen.get("resume") and Path(str(chosen["resume"])).exists():
        return resumed_settings(chosen)
    return {"run-name": run_name(str(chosen.get("dataset", "plants"))), **chosen}
