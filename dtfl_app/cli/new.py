"""dtfl new: a Flower app, a strategy, data set, twin or detector of one's own, to begin with."""

from __future__ import annotations

import json
import keyword
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import click
import typer
from typer.core import TyperGroup

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.config import SECTIONS, RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value, fields_of, group_of, keys_of
from dtfl_app.engine.apps import holds_app, require_name
from dtfl_app.strategies.registry import BUILT_IN, default_settings

__all__ = ["config_table", "defaults", "new_app", "title_of", "write_app"]

_THIN = files("dtfl_app.cli") / "thin"

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


class _Kinds(TyperGroup):
    """Says what can be written to whoever names something else, as older words did."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names."""
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(
                f"{args[0]!r} is none of {', '.join(self.list_commands(ctx))}; an app in a folder "
                f"of this name is written by: dtfl new app {args[0]}"
            )
        return super().resolve_command(ctx, args)


new_app = typer.Typer(cls=_Kinds, no_args_is_help=True, help=__doc__)

Name = Annotated[
    str, typer.Argument(help="of the module, e.g. my_plant; a class is named after it")
]


@new_app.command("app")
def app_command(
    folder: Annotated[Path, typer.Argument(help="of the app; must be new, or empty")],
) -> None:
    """Write a Flower app: every setting, a README and a strategy to begin with."""
    with clear_errors():
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise ConfigError(f"{folder} is there already and not empty; expected a new folder")
        write_app(folder.absolute())
        readme = (_THIN / "README.md").read_text(encoding="utf-8")
        (folder / "README.md").write_text(readme.replace("NAME", folder.absolute().name))
        # What git ignores stays out of the app's bundle too.
        (folder / ".gitignore").write_text("/results/\n")
        (folder / "fading_twin.py").write_bytes((_THIN / "fading_twin.py").read_bytes())
    typer.echo(f"cd {folder} && dtfl run strategy=fading_twin:FadingTwin,fedavg")


@new_app.command("strategy")
def strategy_command(name: Name) -> None:
    """Write a strategy and its test: docs/your-strategy.md."""
    _write("fading_twin", name, "dtfl run strategy={}")


@new_app.command("dataset")
def dataset_command(name: Name) -> None:
    """Write a data set and its test: docs/your-dataset.md."""
    _write("tank_sites", name, "dtfl run dataset={} strategy=fedavg")


@new_app.command("twin")
def twin_command(name: Name) -> None:
    """Write a digital twin and its test: docs/twin.md."""
    _write("two_tanks", name, "dtfl run twin.kind={} dataset=DATASET")


@new_app.command("detector")
def detector_command(name: Name) -> None:
    """Write a detector and its test: docs/your-detector.md."""
    _write("stencil", name, "dtfl run detector.model={} detector.window=6")


def _write(template: str, name: str, command: str) -> None:
    """Write a template and its test into the current folder, under another name."""
    with clear_errors():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ConfigError(
                f"{name!r} cannot be the name of a module; expected letters, digits and _"
            )
        if find_spec(name) is not None:
            raise ConfigError(f"{name!r} is the name of a module that is installed; give another")
        paths = {Path(f"{start}{name}.py"): f"{start}{template}.py" for start in ("", "test_")}
        for path in paths:
            if path.exists():
                raise ConfigError(f"{path} is there already; give another name, or move it away")
        for path, source in paths.items():
            text = (_THIN / source).read_text(encoding="utf-8")
            renamed = text.replace(_title(template), _title(name)).replace(template, name)
            path.write_text(renamed, encoding="utf-8")
    typer.echo(f"python -m pytest test_{name}.py")
    place = "" if holds_app(Path()) else "beside an app's pyproject.toml (dtfl new app FOLDER): "
    typer.echo(place + command.format(f"{name}:{_title(name)}"))


def _title(module: str) -> str:
    """Name of a class: "MyPlant" of "my_plant"."""
    return "".join(part[:1].upper() + part[1:] for part in module.split("_"))


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
