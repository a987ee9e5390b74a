"""dtfl run, show and settings: a federation through Flower's engine, from its settings."""

from __future__ import annotations

import os
import signal
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from dtfl_app.cli.app_folder import HELP as APP_HELP
from dtfl_app.cli.app_folder import open_app
from dtfl_app.cli.new import config_table
from dtfl_app.cli.runs import resumed_settings, resumed_sites
from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.config import FILE_KEYS, PATH_KEYS, SECTIONS, RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.logs import read_line, uncoloured
from dtfl_app.core.settings import Value, key_of
from dtfl_app.engine.launch import simulate, superlink
from dtfl_app.results.run import require_no_run
from dtfl_app.results.show import show_run
from dtfl_app.sites.catalogue import FILES, open_files
from dtfl_app.strategies.registry import BUILT_IN, strategy_names

__all__ = ["follow", "parse_settings", "run", "settings", "show"]

_DEFAULT_SITES = 10


def run(
    settings: Annotated[
        list[str] | None,
        typer.Argument(help='settings as key=value, e.g. strategy="cwa,fedavg" rounds=50'),
    ] = None,
    app_dir: Annotated[Path | None, typer.Option("--app", help=APP_HELP)] = None,
    actors: Annotated[int, typer.Option(help="worker processes; 0 = one per core")] = 0,
) -> None:
    """Simulate a federation on this host and show what came of it.

    The same as `flwr run`, with a SuperLink of its own, as many SuperNodes as sites, and an exit
    code that says whether the run succeeded. `resume=RUN` (a run's folder, its name, or one of its
    checkpoints) goes on with an interrupted run; its settings need not be repeated.
    """
    console = Console()
    # Python's default for SIGTERM skips the clean-up that stops the engine.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with clear_errors(), open_app(app_dir) as app:
        chosen = _complete(app.settings(parse_settings(settings or [])))
        app.require(chosen)
        # The ServerApp checks them too; here a slip costs no start of an engine.
        strategy_names(RunConfig.from_mapping(chosen))
        path = Path(str(chosen["results-dir"])) / str(chosen["run-name"])
        sites = int(chosen["sites"])
        if chosen.get("resume"):
            sites = resumed_sites(path, sites)
        else:
            require_no_run(path)
        with _open_log(path) as log, superlink() as link:
            lines = simulate(link, app.path, chosen, sites, actors or os.cpu_count() or 1)
            follow(_kept(lines, log), console)
        show_run(path, console)


def show(path: Annotated[Path, typer.Argument(help="folder of a run")]) -> None:
    """Show the results of a finished run."""
    with clear_errors():
        show_run(path, Console())


def settings(
    toml: Annotated[bool, typer.Option("--toml", help="as [tool.flwr.app.config]")] = False,
) -> None:
    """Print every setting as a Markdown table: key, default, what it does and may be."""
    if toml:
        typer.echo(config_table().strip())
        return
    typer.echo("| key | default | what it does | may be |\n| --- | --- | --- | --- |")
    for section in [*SECTIONS, *(cls.Settings for cls in BUILT_IN.values())]:
        for field in fields(section):
            meta = field.metadata
            bounds = ", ".join(
                f"{name} {meta[word]:g}"
                for word, name in (("above", "above"), ("low", "from"), ("high", "to"))
                if meta[word] is not None
            )
            allowed = ", ".join(meta["choices"]) or bounds
            typer.echo(f"| `{key_of(field)}` | `{field.default!r}` | {meta['doc']} | {allowed} |")


def parse_settings(words: list[str]) -> dict[str, Value]:
    """Read key=value words; a value is TOML, and text may go without quotes."""
    chosen: dict[str, Value] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"setting {word!r}: expected key=value, e.g. rounds=50")
        try:
            chosen[key] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            chosen[key] = value
    return chosen


def _complete(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Return the settings of the run, all that this process must know among them."""
    given = _with_absolute_paths(chosen)
    return resumed_settings(given) if given.get("resume") else _with_defaults(given)


def _with_defaults(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Name sites, run and folders, so that this process knows where the results will be."""
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{chosen.get('dataset', 'plants')}"
    full = _with_absolute_paths({"run-name": name, "results-dir": "results", **chosen})
    own = full.get("dataset") == FILES
    return {"sites": _DEFAULT_SITES, **full, **({"sites": _file_sites(full)} if own else {})}


def _file_sites(chosen: Mapping[str, Value]) -> int:
    """As many sites as files; DataError where another number is asked for."""
    config = RunConfig.from_mapping(chosen)
    dataset = open_files(config)
    if dataset.folder is None:
        raise ConfigError(
            "run config: data-dir is empty; dtfl run simulates the sites from the files in a "
            "folder, e.g. data-dir=stations. Nodes with files of their own are for `flwr run`"
        )
    return len(dataset.sites(config.data.sites or len(dataset.files)))


def _with_absolute_paths(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Make files and folders independent of where the app will run."""
    full = dict(chosen)
    for key in PATH_KEYS:
        # "embedded" names the network in the wheel, not a file.
        if full.get(key) and full[key] != "embedded":
            full[key] = _absolute(str(full[key]))
    own = full.get("dataset") == FILES
    for key in FILE_KEYS if own else ("twin-recording",):
        if full.get(key):
            full[key] = _in_folder(str(full[key]), str(full.get("data-dir", "")) if own else "")
    return full


def _in_folder(name: str, folder: str) -> str:
    """A file that is there in data-dir, or else seen from here."""
    within = Path(folder) / Path(name).expanduser()
    return str(within) if folder and within.exists() else _absolute(name)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _open_log(path: Path) -> TextIO:
    """Open flower.log in the run's folder; a resumed run adds to it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        return (path / "flower.log").open("a", buffering=1)
    except OSError as error:
        raise ConfigError(
            f"{path}: results cannot be written there ({error}); give them another place with "
            "results-dir"
        ) from error


def _kept(lines: Iterator[str], log: TextIO) -> Iterator[str]:
    """Keep the whole stream in the run's log."""
    for line in lines:
        log.write(uncoloured(line) + "\n")
        yield line


def follow(lines: Iterator[str], console: Console) -> None:
    """Show the app's own lines and warnings out of Flower's stream."""
    for line in lines:
        told = read_line(line)
        # Why a run failed comes as an error at the end.
        if told is not None and told.kind != "failed":
            style = "yellow" if told.warning else ""
            console.print(told.sentence, style=style, highlight=False, markup=False)
