"""dtfl personalise: a site's own layers into the model of its federation, at the site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.bundle.personalised import read_lacking, write_whole
from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.client.personal import stored_layers

__all__ = ["personalise"]


def personalise(
    folder: Annotated[Path, typer.Argument(help="folder of the model: RUN/deploy/STRATEGY")],
    state: Annotated[Path, typer.Option(help="what state.dir was during the run, at this site")],
    site: Annotated[str, typer.Option(help="name of the site")],
    out: Annotated[Path, typer.Option(help="the site's own folder, to be written")],
) -> None:
    """Fill in the layers that a site has of its own, for a strategy such as fedper.

    The server's model lacks them, since they never leave the site. What is written detects there
    as any other model does: dtfl detect --model OUT.
    """
    console = plain_console()
    with clear_errors():
        lacking = read_lacking(folder, site)
        layers = lacking.first_layers
        if lacking.version:
            layers = stored_layers(state, site, lacking.run, lacking.version)
        version = write_whole(lacking, layers, out)
    console.print(f"model {version} of site {site} written to {out}", highlight=False)
