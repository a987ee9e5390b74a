"""dtfl doctor: is this machine ready to join?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.errors import ConfigError
from dtfl_app.operations.doctor import Gateway, Server, examine_gateway, examine_server
from dtfl_app.operations.findings import CheckResult

__all__ = ["doctor"]

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    server: Annotated[
        bool, typer.Option("--server", help="this is the SuperLink's machine")
    ] = False,
    superlink: Annotated[
        str, typer.Option(envvar="DTFL_SUPERLINK", help="host:port of the SuperLink")
    ] = "",
    certs: Annotated[
        Path | None, typer.Option(envvar="DTFL_CERTS", help="folder with ca.crt")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(envvar="DTFL_KEY", help="the site's private key")
    ] = None,
    site: Annotated[str, typer.Option(envvar="DTFL_SITE", help="the site's name")] = "",
    data: Annotated[Path | None, typer.Option(envvar="DTFL_DATA", help="the site's file")] = None,
    schema: Annotated[
        Path | None, typer.Option(envvar="DTFL_SCHEMA", help="TOML that describes the file")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(envvar="DTFL_STATE", help="folder that outlives the process")
    ] = None,
    node_port: Annotated[
        int, typer.Option(envvar="DTFL_NODE_PORT", help="local port of a SuperNode")
    ] = 9094,
    host: Annotated[
        str, typer.Option(envvar="DTFL_HOST", help="address the SuperLink will listen on")
    ] = "0.0.0.0",
    port: Annotated[int, typer.Option(envvar="DTFL_PORT", help="port of the SuperLink")] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="print findings as JSON")] = False,
) -> None:
    """Check a machine before it joins; exit code 1 when something failed, 2 for wrong usage.

    Options not given are taken from the variables that the start scripts read.
    """
    with clear_errors():
        if server:
            subject = Server(_given("certs", certs), _given("state", state), host, port)
            findings = list(examine_server(subject, _now))
        else:
            if not superlink:
                raise ConfigError("no --superlink HOST:PORT (DTFL_SUPERLINK), and no --server")
            gateway = Gateway(
                superlink,
                _given("certs", certs),
                _given("key", key),
                _given("data", data),
                _given("schema", schema),
                _given("state", state),
                node_port,
                site,
            )
            findings = list(examine_gateway(gateway, _now))
    if as_json:
        typer.echo(json.dumps([finding.to_mapping() for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.verdict == "failed" for finding in findings):
        raise typer.Exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def _given(option: str, value: Path | None) -> Path:
    if value is None:
        role = "SuperLink" if option in ("certs", "state") else "gateway"
        raise ConfigError(
            f"no --{option} (DTFL_{option.upper()}); a {role} needs it. See dtfl doctor --help"
        )
    return value


def _print(findings: Iterable[CheckResult]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        line = Text(f"{finding.verdict:<8} ", style=_COLOURS[finding.verdict])
        console.print(line + Text(f"{finding.check}: {finding.found}", style="default"))
        if finding.mend:
            console.print(Text(f"         to mend: {finding.mend}"))
