"""The proxy before a SuperLink and an operator's forwarder, as real processes on loopback."""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fleet import LINK, Fleet, Process
from tests.support.places import REPOSITORY
from tests.support.servers import free_port

__all__ = ["PROXY", "Door", "open_door", "sbin"]

PROXY = REPOSITORY / "docker" / "proxy"


@dataclass
class Door:
    """A fleet whose port is the proxy's, and what stands before and behind it.

    Parameters
    ----------
    fleet : its link `LINK` goes through the forwarder, its link "bare" to the proxy without one.
    superlink : the process behind, which listens on `inner` of 127.0.0.1.
    """

    fleet: Fleet
    superlink: Process
    inner: int
    proxy: Process

    @property
    def files(self) -> Path:
        """The proxy's certificate, key and list of those taken back."""
        return self.fleet.folder / "proxy"

    def reload(self) -> None:
        """Let the proxy read its files again, as its unit does."""
        self.proxy.process.send_signal(signal.SIGHUP)

    def operator(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of an operator."""
        folder = self.fleet.certs / "operators"
        return folder / f"{name}.crt", folder / f"{name}.key"


def open_door(fleet: Fleet) -> Door:
    """Start SuperLink, nginx and stunnel by the files in docker/; skip where one is missing."""
    _require("nginx", "stunnel")
    fleet.dtfl("certificates", "--out", str(fleet.certs), "--inside")
    fleet.dtfl("certificates", "--out", str(fleet.certs), "--operator", "anna", "--operator", "ben")
    inner = free_port()
    superlink = fleet.start(
        "superlink.sh", "superlink", DTFL_CERTS=fleet.certs / "inside",
        DTFL_STATE=fleet.folder / "superlink", DTFL_HOST="127.0.0.1", DTFL_PORT=inner,
        DTFL_SERVERAPP="apart",
    )  # fmt: skip
    superlink.says("Uvicorn running on https", 60.0)
    fleet.start(
        "serverapp.sh", "serverapp", DTFL_CERTS=fleet.certs / "inside",
        DTFL_STATE=fleet.folder / "serverapp", DTFL_SUPERLINK=f"127.0.0.1:{inner}",
    )  # fmt: skip
    _start_forwarder(fleet)
    return Door(fleet, superlink, inner, _start_proxy(fleet, inner))


def _start_proxy(fleet: Fleet, inner: int) -> Process:
    files, folder = fleet.folder / "proxy", fleet.folder / "nginx"
    files.mkdir()
    (folder / "state").mkdir(parents=True)
    for name in ("ca.crt", "superlink.crt", "superlink.key"):
        shutil.copy(fleet.certs / name, files / name)
    changes = {
        "/etc/dtfl/proxy": str(files),
        "listen 8000": f"listen 127.0.0.1:{fleet.port}",
        "127.0.0.1:8001": f"127.0.0.1:{inner}",
    }
    for name in ("nginx.conf", "superlink.conf"):
        _copy(PROXY / name, folder / name, changes)
    # Started by root, nginx gives its workers to another user, who may not enter pytest's folders.
    more = ["-g", "user root;"] if os.getuid() == 0 else []
    command = ["nginx", "-p", str(folder / "state"), "-c", str(folder / "nginx.conf"), *more]
    return fleet.run("nginx", command, sbin(fleet))


def _start_forwarder(fleet: Fleet) -> None:
    port, folder = free_port(), fleet.folder / "stunnel"
    folder.mkdir()
    anna = fleet.certs / "operators" / "anna"
    changes = {
        "127.0.0.1:8443": f"127.0.0.1:{port}",
        "superlink.example:8000": fleet.address,
        "checkHost = superlink.example": "checkIP = 127.0.0.1",
        "/home/anna/dtfl/ca.crt": str(fleet.certs / "ca.crt"),
        "/home/anna/dtfl/anna.crt": f"{anna}.crt",
        "/home/anna/dtfl/anna.key": f"{anna}.key",
    }
    _copy(PROXY / "stunnel.conf", folder / "stunnel.conf", changes)
    fleet.run("stunnel", ["stunnel", str(folder / "stunnel.conf")], sbin(fleet))
    authority = f'root-certificates = "{fleet.certs / "ca.crt"}"'
    (fleet.folder / "operator" / "config.toml").write_text(
        f'[superlink]\ndefault = "{LINK}"\n\n'
        f'[superlink.{LINK}]\naddress = "127.0.0.1:{port}"\ninsecure = true\n\n'
        f'[superlink.bare]\naddress = "{fleet.address}"\n{authority}\n'
    )


def _copy(source: Path, target: Path, changes: Mapping[str, str]) -> None:
    """Copy a configuration with each of `changes` made; they must all be in one of the files."""
    text = source.read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    target.write_text(text)


def sbin(fleet: Fleet) -> dict[str, str]:
    """Environment of a process of `fleet` that Debian has in sbin, which a user's path may lack."""
    environment = fleet.environment()
    environment["PATH"] += f"{os.pathsep}/usr/sbin"
    return environment


def _require(*programs: str) -> None:
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not on this machine; Debian: nginx-light, stunnel4")
