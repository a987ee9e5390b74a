"""dtfl: train detectors in a federation, judge them, and watch a site with what came out.

A command's module is loaded when the command is called: on a gateway that only detects, neither
torch nor Flower is installed.
"""

from __future__ import annotations

from importlib import import_module

import click
import typer
from typer.core import TyperGroup

__all__ = ["COMMANDS", "app"]

#: Command -> where it is: a function, or a `typer.Typer` with commands of its own.
COMMANDS = {
    "new": "dtfl_app.cli.new:new_app",
    "example": "dtfl_app.cli.example:example",
    "run": "dtfl_app.cli.run:run",
    "submit": "dtfl_app.cli.submit:submit",
    "show": "dtfl_app.cli.run:show",
    "checkpoints": "dtfl_app.cli.runs:checkpoints",
    "compare": "dtfl_app.cli.runs:compare",
    "report": "dtfl_app.cli.report:report",
    "evaluate": "dtfl_app.cli.evaluate:evaluate",
    "detect": "dtfl_app.cli.detect:detect",
    "personalise": "dtfl_app.cli.personalise:personalise",
    "bench": "dtfl_app.cli.bench:bench",
    "settings": "dtfl_app.cli.run:settings",
    "twin": "dtfl_app.cli.twin:twin_app",
    "certificates": "dtfl_app.cli.credentials:certificates",
    "keys": "dtfl_app.cli.credentials:keys",
    "register": "dtfl_app.cli.credentials:register",
    "pin": "dtfl_app.cli.pin:pin",
    "doctor": "dtfl_app.cli.doctor:doctor",
    "site": "dtfl_app.cli.site:site_app",
}


class _OnDemand(TyperGroup):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            return _not_here(cmd_name, error)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(found)
        return typer.main.get_command(single)


def _not_here(name: str, error: ModuleNotFoundError) -> click.Command:
    """Stand in for a command whose packages are not installed; all others work."""
    if (error.name or "").partition(".")[0] in ("dtfl_app", "twin"):
        raise error
    words = f"Not on this machine: package {error.name} is not installed."
    single = typer.Typer(add_completion=False)

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}

    @single.command(name, help=words, context_settings=anything)
    def refuse() -> None:
        typer.echo(f"error: dtfl {name}: {words} Install dtfl with all it needs", err=True)
        raise typer.Exit(2)

    return typer.main.get_command(single)


# A traceback is for whoever mends the program; what its variables held is nobody's business.
app = typer.Typer(
    cls=_OnDemand,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


@app.callback(help=__doc__.partition("\n")[0])
def _dtfl() -> None:
    """Hold the commands together."""


if __name__ == "__main__":
    app()
