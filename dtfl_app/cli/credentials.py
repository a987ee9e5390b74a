"""dtfl certificates, keys and register: what a SuperLink and its SuperNodes know each other by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.errors import CredentialError
from dtfl_app.operations.certificates import (
    AUTHORITY,
    AUTHORITY_KEY,
    INSIDE,
    SERVER,
    SERVER_KEY,
    Validity,
    create_authority,
    issue_inside_certificate,
    issue_operator_certificate,
    issue_server_certificate,
    operator_files,
    read_certificate,
    require_hosts,
    serial_text,
    server_names,
)
from dtfl_app.operations.keys import write_key_pairs
from dtfl_app.operations.private_files import refuse_existing
from dtfl_app.operations.registration import register as register_keys

__all__ = ["certificates", "keys", "register"]

# Clocks differ: a site whose clock is behind must find the certificate valid at once.
_EARLIER = timedelta(hours=1)
_CA_DAYS, _SERVER_DAYS = 3650, 365
# A person's certificate is on a machine that is carried about: short, since nothing but a list at
# the proxy takes it back before its end.
_OPERATOR_DAYS = 30


def certificates(
    out: Annotated[Path, typer.Option(help="folder for certificates and keys")] = Path("certs"),
    host: Annotated[
        list[str] | None,
        typer.Option(help="DNS name or IP address of the SuperLink, as sites call it; repeatable"),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"how long the certificate holds; default {_SERVER_DAYS}, an operator's "
            f"{_OPERATOR_DAYS}",
        ),
    ] = None,
    ca_days: Annotated[
        int | None,
        typer.Option(min=1, help=f"how long the authority holds; default {_CA_DAYS}"),
    ] = None,
    renew: Annotated[
        bool, typer.Option(help="a new certificate by the authority in --out, the same key")
    ] = False,
    operator: Annotated[
        list[str] | None,
        typer.Option(help="name of one who may start runs through the proxy; repeatable"),
    ] = None,
    inside: Annotated[
        bool, typer.Option(help="the certificate of a SuperLink behind the proxy")
    ] = False,
) -> None:
    """Make an authority and the SuperLink's certificate; by it, operators' and others."""
    with clear_errors():
        if ca_days is not None and (renew or operator or inside):
            raise CredentialError(
                "--ca-days is for a new authority; leave it out with --renew, --operator, --inside"
            )
        if operator:
            _operators(out, operator, host, days, renew, inside)
        elif inside:
            _inside(out, host, days, renew)
        else:
            _server(out, host, days, ca_days, renew)


def _validity(days: int) -> Validity:
    now = datetime.now(UTC)
    return Validity(now - _EARLIER, now + timedelta(days=days))


def _server(
    out: Path, host: list[str] | None, days: int | None, ca_days: int | None, renew: bool
) -> None:
    hosts = host or (server_names(read_certificate(out / SERVER)) if renew else [])
    require_hosts(hosts)
    if not renew:
        create_authority(out, _validity(ca_days or _CA_DAYS))
    validity = _validity(days or _SERVER_DAYS)
    names = issue_server_certificate(out, hosts, validity)
    typer.echo(f"{out / SERVER}: until {validity.end:%Y-%m-%d} for {', '.join(names)}")
    if renew:
        typer.echo("restart the SuperLink, or the proxy that serves it: it is read at the start")
        return
    typer.echo(f"to the SuperLink:      {AUTHORITY} {SERVER} {SERVER_KEY}")
    typer.echo(f"to sites, operators:   {AUTHORITY}")
    typer.echo(f"off the network, safe: {AUTHORITY_KEY}")


def _inside(out: Path, host: list[str] | None, days: int | None, renew: bool) -> None:
    folder = out / INSIDE
    if not renew:
        refuse_existing(
            [folder / SERVER, folder / SERVER_KEY], "for a new one by the same key use --renew"
        )
    hosts = host or (server_names(read_certificate(folder / SERVER)) if renew else [])
    validity = _validity(days or _SERVER_DAYS)
    names = issue_inside_certificate(out, hosts, validity)
    typer.echo(f"{folder / SERVER}: until {validity.end:%Y-%m-%d} for {', '.join(names)}")
    typer.echo(f"to the SuperLink behind the proxy: {folder}, all of it")


def _operators(
    out: Path,
    names: list[str],
    host: list[str] | None,
    days: int | None,
    renew: bool,
    inside: bool,
) -> None:
    if host or inside:
        raise CredentialError("--operator is for a person; make certificates of servers without it")
    files = [operator_files(out, name) for name in names]
    if not renew:
        refuse_existing(
            (path for pair in files for path in pair), "for a new one by the same key use --renew"
        )
    validity = _validity(days or _OPERATOR_DAYS)
    for name, (path, key) in zip(names, files, strict=True):
        serial = serial_text(issue_operator_certificate(out, name, validity))
        typer.echo(f"{path}: until {validity.end:%Y-%m-%d}, serial {serial}")
        typer.echo(f"to {name} alone: {AUTHORITY} {path.name} {key.name}")


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
