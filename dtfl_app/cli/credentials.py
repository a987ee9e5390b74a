"""dtfl certificates, keys and register: what a SuperLink and its SuperNodes know each other by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.operations.certificates import (
    AUTHORITY,
    AUTHORITY_KEY,
    SERVER,
    SERVER_KEY,
    Validity,
    create_authority,
    issue_server_certificate,
    read_certificate,
    require_hosts,
    server_names,
)
from dtfl_app.operations.keys import write_key_pairs
from dtfl_app.operations.registration import register as register_keys

__all__ = ["certificates", "keys", "register"]

# Clocks differ: a site whose clock is behind must find the certificate valid at once.
_EARLIER = timedelta(hours=1)


def certificates(
    out: Annotated[Path, typer.Option(help="folder for certificates and keys")] = Path("certs"),
    host: Annotated[
        list[str] | None,
        typer.Option(help="DNS name or IP address of the SuperLink, as sites call it; repeatable"),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="how long the server certificate holds")] = 365,
    ca_days: Annotated[int, typer.Option(min=1, help="how long the authority holds")] = 3650,
    renew: Annotated[
        bool, typer.Option(help="a new server certificate by the authority in --out")
    ] = False,
) -> None:
    """Make a certificate authority and the SuperLink's certificate, or renew the latter."""
    now = datetime.now(UTC)
    with clear_errors():
        hosts = host or (server_names(read_certificate(out / SERVER)) if renew else [])
        require_hosts(hosts)
        if not renew:
            create_authority(out, Validity(now - _EARLIER, now + timedelta(days=ca_days)))
        validity = Validity(now - _EARLIER, now + timedelta(days=days))
        names = issue_server_certificate(out, hosts, validity)
    typer.echo(f"{out / SERVER}: until {validity.end:%Y-%m-%d} for {', '.join(names)}")
    if renew:
        typer.echo("restart the SuperLink: it reads its certificate when it starts")
        return
    typer.echo(f"to the SuperLink:      {AUTHORITY} {SERVER} {SERVER_KEY}")
    typer.echo(f"to sites, operators:   {AUTHORITY}")
    typer.echo(f"off the network, safe: {AUTHORITY_KEY}")


def keys(
    sites: Annotated[list[str], typer.Argument(help="names of the sites, one key pair each")],
    out: Annotated[Path, typer.Option(help="folder for the key pairs")] = Path("keys"),
) -> None:
    """Make a key pair for each SuperNode, in the format that Flower reads."""
    with clear_errors():
        public = write_key_pairs(out, sites)
    typer.echo("register them where the SuperLink is known as LINK; give a site its private key:")
    typer.echo(f"dtfl register LINK {' '.join(map(str, public))}")


def register(
    link: Annotated[str, typer.Argument(help="the SuperLink's name in Flower's config.toml")],
    public_keys: Annotated[
        list[Path], typer.Argument(help="SITE.pub files", exists=True, dir_okay=False)
    ],
    names: Annotated[
        Path, typer.Option(help="file of names, for trust.names on the SuperLink's host")
    ] = Path("names.toml"),
) -> None:
    """Register gateways' keys, and keep which site's name goes with which key."""
    with clear_errors():
        for site, node in register_keys(link, public_keys, names).items():
            typer.echo(f"{site}: node {node}")
    typer.echo(f"{names}: give it to runs as trust.names, from the root")
