"""dtfl run, show and settings: a federation through Flower's engine, from its settings."""

from __future__ import annotations

import os
import signal
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from dtfl_app.cli.app_folder import HELP as APP_HELP
from dtfl_app.cli.app_folder import open_app
from dtfl_app.cli.new import config_table, defaults, title_of
from dtfl_app.cli.runs import resumed_settings, resumed_sites
from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.config import SECTIONS, RunConfig, keys_with
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.logs import read_line, without_colours
from dtfl_app.core.naming import run_name
from dtfl_app.core.sections import RunSettings
from dtfl_app.core.settings import Value, fields_of, group_of, keys_of
from dtfl_app.detector.models import require_detector
from dtfl_app.engine.launch import simulate, superlink
from dtfl_app.results.run_directory import require_no_run
from dtfl_app.results.show import show_run
from dtfl_app.sites.catalogue import find_dataset
from dtfl_app.sites.federation import FederatedDataset
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
    console = plain_console()
    # Python's default for SIGTERM skips the clean-up that stops the engine.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with clear_errors(), open_app(app_dir) as app:
        chosen = _complete(app.settings(parse_settings(settings or [])))
        app.require(chosen)
        # The ServerApp checks them too; here a slip costs no start of an engine.
        strategy_names(config := RunConfig.from_mapping(chosen))
        require_detector(config.detector)
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
        show_run(path, plain_console())


def settings(
    toml: Annotated[bool, typer.Option("--toml", help="as [tool.flwr.app.config]")] = False,
) -> None:
    """Print every setting as a Markdown table: key, default, what it does and may be."""
    if toml:
        typer.echo(config_table())
        return
    sections = [*SECTIONS, *(cls.Settings for cls in BUILT_IN.values())]
    typer.echo("\n".join(_as_page(sections)))


def _as_page(sections: Sequence[type]) -> list[str]:
    lines = []
    for section in filter(keys_of, sections):
        group, title = group_of(section), title_of(section)
        lines += [f"## {group}.*: {title}" if group else f"## {title}", ""]
        lines += ["| key | default | what it does | may be |", "| --- | --- | --- | --- |"]
        for key, field in fields_of(section).items():
            meta = field.metadata
            bounds = ", ".join(
                f"{word} {meta[name]:g}"
                for name, word in (("above", "above"), ("low", "from"), ("high", "to"))
                if meta[name] is not None
            )
            allowed = ", ".join(meta["choices"]) or bounds
            lines.append(f"| `{key}` | `{field.default!r}` | {meta['doc']} | {allowed} |")
        lines.append("")
    return lines[:-1]


def parse_settings(words: list[str]) -> dict[str, Value]:
    """Read key=value words; a value is TOML, and text may go without quotes."""
    chosen: dict[str, Value] = {}
    usual = defaults()
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"setting {word!r}: expected key=value, e.g. rounds=50")
        try:
            found = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            found = value
        # A text may look like a number: twin.weight=0.5, run-name=2024.
        is_text = isinstance(usual.get(key), str)
        chosen[key] = value if is_text and not isinstance(found, str) else found
    return chosen


def _complete(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Return the settings of the run, all that this process must know among them."""
    given = _with_absolute_paths(chosen)
    return resumed_settings(given) if given.get("resume") else _with_defaults(given)


def _with_defaults(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Name sites, run and folders, so that this process knows where the results will be."""
    name = run_name(str(chosen.get("dataset", "plants")))
    full = _with_absolute_paths({"run-name": name, "results-dir": "results", **chosen})
    fixed = _dataset(full).fixed_sites(RunConfig.from_mapping(full))
    return {"sites": _DEFAULT_SITES, **full, **({} if fixed is None else {"sites": fixed})}


def _dataset(chosen: Mapping[str, Value]) -> type[FederatedDataset]:
    return find_dataset(str(chosen.get("dataset", RunSettings().dataset)))


def _with_absolute_paths(chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Make files and folders independent of where the app will run."""
    full = dict(chosen)
    for key in keys_with("path", "local-path"):
        # "embedded" names the network in the wheel, not a file.
        if full.get(key) and full[key] != "embedded":
            full[key] = _absolute(str(full[key]))
    own = _dataset(full).files_in_data_dir
    for key in keys_with("data-file") if own else ("twin.recording",):
        if full.get(key):
            full[key] = _in_folder(str(full[key]), str(full.get("data.dir", "")) if own else "")
    return full


def _in_folder(name: str, folder: str) -> str:
    """A file that is there in data.dir, or else seen from here."""
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
        log.write(without_colours(line) + "\n")
        yield line


def follow(lines: Iterator[str], console: Console) -> None:
    """Show the app's own lines and warnings out of Flower's stream."""
    for line in lines:
        told = read_line(line)
        # Why a run failed comes as an error at the end.
        if told is not None and told.kind != "failed":
            style = "yellow" if told.warning else ""
            console.print(told.sentence, style=style, highlight=False)
