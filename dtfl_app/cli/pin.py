"""dtfl pin: the hash of an app, for gateways that run no other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.cli.app_folder import HELP, open_app
from dtfl_app.cli.terminal import clear_errors
from dtfl_app.engine.pin import app_hash

__all__ = ["pin"]


def pin(app_dir: Annotated[Path | None, typer.Option("--app", help=HELP)] = None) -> None:
    """Print the hash of the app that `dtfl submit` would send; gateways take it as DTFL_PIN.

    Every change of the app's files changes it; settings given to a run do not.
    """
    with clear_errors(), open_app(app_dir) as app:
        typer.echo(app_hash(app.path))
