"""dtfl example: a folder of files to begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.cli.stations.exports import example_files
from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.errors import ConfigError

__all__ = ["EXAMPLES", "example"]

#: Name of an example -> its files: name and content.
EXAMPLES: Mapping[str, Callable[[], Mapping[str, bytes]]] = {"stations": example_files}


def example(
    name: Annotated[str, typer.Argument(help=f"one of {', '.join(EXAMPLES)}")],
    folder: Annotated[Path, typer.Argument(help="to write it to; must be new, or empty")],
) -> None:
    """Write an example: sites' files as historians export them, their schemas, and a README.txt."""
    with clear_errors():
        if name not in EXAMPLES:
            raise ConfigError(f"no example called {name!r}; expected one of {', '.join(EXAMPLES)}")
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise ConfigError(f"{folder} is there already and not empty; expected a new folder")
        _write(folder, EXAMPLES[name]())
    typer.echo((folder / "README.txt").read_text(encoding="utf-8"), nl=False)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written to ({error}); name another folder"
        ) from error
