"""dtfl site: a site's own file, before it takes part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.errors import ConfigError, ResultsError
from dtfl_app.sites.channel_check import ChannelSummary
from dtfl_app.sites.findings import FileFinding, counted
from dtfl_app.sites.folders import schema_beside
from dtfl_app.sites.known_schemas import KNOWN_SCHEMAS
from dtfl_app.sites.site_check import FileSummary, SiteCheck, check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import read_site_schema
from twin.files import write_atomically

__all__ = ["site_app"]

site_app = typer.Typer(no_args_is_help=True, help="A site's own file, before it takes part.")

_VERDICTS = {
    0: "usable",
    1: "usable, with findings worth a look",
    2: "cannot be used as it is",
}
_STYLES = {"note": "", "look": "yellow", "stop": "red"}
# Events named on the terminal; the JSON has all.
_SHOWN = 10
_WIDEST = 1000


@site_app.command()
def check(
    file: Annotated[Path, typer.Argument(help="the site's .csv or .parquet file")],
    schema: Annotated[
        Path | None,
        typer.Option(help="its site schema; by default FILE.toml or schema.toml beside it"),
    ] = None,
    name: Annotated[str, typer.Option(help="the site, where a table of events has several")] = "",
    out: Annotated[Path | None, typer.Option("--json", help="write all of it there too")] = None,
) -> None:
    """Say what training will make of a site's file, channel by channel, and how to mend it.

    Exit code 0: usable; 1: usable, with findings worth a look; 2: cannot be used.
    """
    with clear_errors():
        site = read_site_schema(schema or schema_beside(file))
        found = check_file(file, site, name)
        if out is not None:
            _write(out, found)
    _show(found, Console())
    raise typer.Exit(found.exit_code)


@site_app.command()
def draft(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help=".csv or .parquet files of one make")
    ],
) -> None:
    """Print a first site schema guessed from a file or several, with comments on what to check.

    Columns that it does not take are named on standard error, with the reason; so are guesses that
    nothing in the files decides.
    """
    with clear_errors():
        found = draft_schema(*files)
    typer.echo(found.toml, nl=False)
    for guess in found.unsure:
        typer.echo(f"guess: {guess}", err=True)
    for reason in found.left_out:
        typer.echo(f"left out: {reason}", err=True)


@site_app.command()
def schema(
    plant: Annotated[str, typer.Argument(help=f"one of {', '.join(KNOWN_SCHEMAS)}")],
) -> None:
    """Print the site schema of a plant that is known here."""
    with clear_errors():
        if plant not in KNOWN_SCHEMAS:
            raise ConfigError(
                f"no schema called {plant!r}; expected one of {', '.join(KNOWN_SCHEMAS)}, or draft "
                "one from a file: dtfl site draft FILE"
            )
        typer.echo(KNOWN_SCHEMAS[plant].to_toml(), nl=False)


def _write(path: Path, found: SiteCheck) -> None:
    text = json.dumps(found.to_dict(), indent=1, allow_nan=False)
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise ResultsError(
            f"{path}: cannot be written ({error}); name another place with --json"
        ) from error


def _show(found: SiteCheck, console: Console) -> None:
    if found.summary is not None:
        for line in _lines(found.summary):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        _show_whole(_channels(found.channels), console)
    for finding in found.findings:
        _show_finding(finding, console)
    verdict = (
        f"{found.file}, schema {found.schema!r} ({found.digest}, the same at all sites): "
        f"{_VERDICTS[found.exit_code]}"
    )
    console.print(verdict, highlight=False, markup=False, soft_wrap=True)


def _lines(summary: FileSummary) -> list[str]:
    period = "-" if summary.period_s is None else f"{summary.period_s:g} s"
    named = ", ".join(summary.events[:_SHOWN]) + (", ..." if summary.events[_SHOWN:] else "")
    filled = ""
    if summary.filled_rows:
        gaps, rows = counted(summary.filled_gaps, "gap"), counted(summary.filled_rows, "row")
        filled = f", {gaps} filled with {rows}"
    events = counted(len(summary.events), "event") + (f": {named}" if named else "")
    return [
        f"{summary.rows} rows from {summary.first} to {summary.last}, every {period} (median); "
        f"{counted(summary.gaps, 'gap')}{filled}, {counted(summary.repeated, 'repeated row')}; "
        f"longest stretch {counted(summary.longest_stretch, 'row')}",
        f"labels: {summary.normal} normal, {summary.abnormal} abnormal, {summary.unlabelled} "
        f"unlabelled; {events}",
    ]


def _channels(channels: tuple[ChannelSummary, ...]) -> Table:
    table = Table(title="readings", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("channel", no_wrap=True)
    for title in ("possible", "missing", "min", "median", "max", "equal in a row", "outside"):
        table.add_column(title, justify="right")
    for c in channels:
        name = c.channel + (f" [{c.unit}]" if c.unit != "1" else "")
        figures = ("-" if x is None else f"{x:.4g}" for x in (c.smallest, c.median, c.largest))
        outside = f"{c.outside}, from row {c.first_outside}" if c.outside else "0"
        possible = f"{c.low:g} to {c.high:g}"
        cells = (possible, f"{c.missing:.1%}", *figures, str(c.longest_run), outside)
        table.add_row(escape(name), *cells)
    return table


def _show_whole(table: Table, console: Console) -> None:
    """A terminal may be narrow, a log file is not: no figure is cut off."""
    needed = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    Console(width=max(console.width, needed)).print(table)


def _show_finding(finding: FileFinding, console: Console) -> None:
    lines = [
        f"{finding.level}: {finding.where}: {finding.what}",
        f"    training {finding.training}",
        f"    to mend: {finding.mend}",
    ]
    style = _STYLES[finding.level]
    console.print("\n".join(lines), style=style, highlight=False, markup=False, soft_wrap=True)
