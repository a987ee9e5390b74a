"""dtfl new: a folder with a Flower app that is DTFL with settings and strategies of one's own."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.config import SECTIONS, RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value, fields_of, group_of, keys_of
from dtfl_app.engine.apps import require_name
from dtfl_app.strategies.registry import BUILT_IN, default_settings

__all__ = ["config_table", "defaults", "new", "title_of", "write_app"]

_PROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
description = "Federated anomaly detection with DTFL"
license = "Apache-2.0"
dependencies = ["dtfl=={version}"]

[tool.flwr.app]
publisher = "dtfl"

[tool.flwr.app.components]
serverapp = "dtfl_app.server.app:app"
clientapp = "dtfl_app.client.app:app"

# `dtfl run key=value` and `flwr run --run-config` override these: keep every key.

"""


def new(
    folder: Annotated[Path, typer.Argument(help="of the app; must be new, or empty")],
) -> None:
    """Write a Flower app: every setting, a README and a strategy to begin with."""
    with clear_errors():
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise ConfigError(f"{folder} is there already and not empty; expected a new folder")
        write_app(folder.absolute())
        thin = files("dtfl_app.cli") / "thin"
        readme = (thin / "README.md").read_text(encoding="utf-8")
        (folder / "README.md").write_text(readme.replace("NAME", folder.absolute().name))
        # What git ignores stays out of the app's bundle too.
        (folder / ".gitignore").write_text("/results/\n")
        (folder / "fading_twin.py").write_bytes((thin / "fading_twin.py").read_bytes())
    typer.echo(f"cd {folder} && dtfl run strategy=fading_twin:FadingTwin,fedavg")


def write_app(folder: Path) -> Path:
    """Write an app that is DTFL with its default settings; return its folder.

    Raises ConfigError for a folder that cannot be made, or whose name Flower does not take.
    """
    require_name(folder.name)
    project = _PROJECT.format(name=folder.name, version=version("dtfl"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text(
            project + config_table(described=True) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to ({error})") from error
    return folder


def defaults() -> dict[str, Value]:
    """Every setting's default, those of the built-in strategies among them."""
    return {**RunConfig.from_mapping({}).to_mapping(), **default_settings()}


def config_table(*, described: bool = False) -> str:
    """Return every setting as TOML: a table for each group, under a line that says what it is.

    `described` : say behind each setting what it does.
    """
    sections = [*SECTIONS, *(strategy.Settings for strategy in BUILT_IN.values())]
    tables = [_table(section, described) for section in sections if keys_of(section)]
    return "\n\n".join(tables)


def _table(section: type, described: bool) -> str:
    group = group_of(section)
    lines = [f"# {title_of(section)}", f"[tool.flwr.app.config{group and '.' + group}]"]
    for key, field in fields_of(section).items():
        note = f"  # {field.metadata['doc']}" if described else ""
        lines.append(f"{key.removeprefix(f'{group}.')} = {json.dumps(field.default)}{note}")
    return "\n".join(lines)


def title_of(section: type) -> str:
    """First line of a settings class's docstring, without its full stop."""
    return (section.__doc__ or section.__name__).partition("\n")[0].rstrip(".")
