"""Which checks a machine must pass before it joins, by its role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dtfl_app.operations.connection import check_superlink
from dtfl_app.operations.findings import CheckResult
from dtfl_app.operations.identity import check_authority, check_node_key, check_server_files
from dtfl_app.operations.machine import (
    check_disk,
    check_memory,
    check_port,
    check_state_folder,
    check_versions,
)
from dtfl_app.operations.site_data import check_data

__all__ = ["Gateway", "Server", "examine_gateway", "examine_server"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a site's SuperNode is started with; see ``docker/supernode.sh``.

    Parameters
    ----------
    superlink : host:port.
    certs : folder with ca.crt.
    key, data, schema : files.
    state : folder.
    port : local port of Flower's Runtime API.
    site : name of the site, where a table of events has several; empty = the file's.
    """

    superlink: str
    certs: Path
    key: Path
    data: Path
    schema: Path
    state: Path
    port: int = 9094
    site: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """What the SuperLink is started with; see ``docker/superlink.sh``.

    Parameters
    ----------
    certs : folder with ca.crt, superlink.crt and superlink.key.
    state : folder.
    host, port : where it will listen.
    """

    certs: Path
    state: Path
    host: str = "0.0.0.0"
    port: int = 8000


def examine_gateway(gateway: Gateway, clock: Callable[[], datetime]) -> Iterator[CheckResult]:
    """Check a site's machine; `clock` tells its time, with a zone."""
    yield from check_versions()
    yield check_authority(gateway.certs, clock())
    yield from check_node_key(gateway.key)
    yield from check_superlink(gateway.superlink, gateway.certs, clock)
    yield from check_data(gateway.data, gateway.schema, gateway.site)
    yield from _check_room(gateway.state)
    yield check_port("127.0.0.1", gateway.port, "DTFL_NODE_PORT")


def examine_server(server: Server, clock: Callable[[], datetime]) -> Iterator[CheckResult]:
    """Check the SuperLink's machine; `clock` tells its time, with a zone."""
    yield from check_versions()
    yield check_authority(server.certs, clock())
    yield from check_server_files(server.certs, server.host, clock())
    yield from _check_room(server.state)
    yield check_port(server.host, server.port, "DTFL_PORT")


def _check_room(state: Path) -> Iterator[CheckResult]:
    yield check_state_folder(state)
    yield check_disk(state)
    yield check_memory()
