"""Checks of the machine itself: versions, folders, disk, memory, ports."""

from __future__ import annotations

import errno
import platform
import socket
import tempfile
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from dtfl_app.operations.findings import CheckResult, failed, good, warning

__all__ = ["check_disk", "check_memory", "check_port", "check_state_folder", "check_versions"]

_MB = 1e6
#: Flower's database, a site's state and the app's bundles fit below; a run writes its results too.
_LEAST_DISK_MB, _AMPLE_DISK_MB = 500, 2000
#: SuperNode, SuperExec and one task with torch loaded held 140, 129 and 421 MB (docs/operate.md).
_LEAST_MEMORY_MB, _AMPLE_MEMORY_MB = 700, 1500


def check_versions(package: str = "dtfl") -> list[CheckResult]:
    """Compare Python and the installed packages with what `package` asks for."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        mend = "pip install -c constraints.txt . in DTFL's folder, with this Python"
        return [failed("packages", f"{package} is not installed for {platform.node()}", mend)]
    wanted = str(about.json.get("requires_python", ""))
    python = platform.python_version()
    fits = Requirement(f"python{wanted}").specifier.contains(python)
    says = f"{python}; wanted {wanted}"
    mend = f"make the environment with a Python {wanted}"
    return [
        good("python", says) if fits else failed("python", says, mend),
        _check_packages(package, [Requirement(r) for r in about.get_all("Requires-Dist") or []]),
    ]


def _check_packages(package: str, wanted: list[Requirement]) -> CheckResult:
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [text for r in needed if (text := _misfit(r))]
    if wrong:
        mend = "pip install -c constraints.txt . in DTFL's folder, with this Python"
        return failed("packages", "; ".join(wrong), mend)
    exact = {r.name: version(r.name) for r in needed if "==" in str(r.specifier)}
    pins = ", ".join(f"{name} {number}" for name, number in exact.items())
    return good("packages", f"{package} {version(package)}; {len(needed)} as wanted, with {pins}")


def _misfit(wanted: Requirement) -> str:
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing, wanted {wanted.specifier}"
    # A local label says how it was built (2.13.0+cpu), not what it is.
    if wanted.specifier.contains(found.partition("+")[0], prereleases=True):
        return ""
    return f"{wanted.name} is {found}, wanted {wanted.specifier}"


def check_state_folder(folder: Path) -> CheckResult:
    """Tell whether `folder` can be written to, or made, by writing a file that goes again."""
    there = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        mend = f"chown it to the user that starts the node, or choose another folder than {there}"
        return failed("state folder", f"{there}: cannot be written to ({error.strerror})", mend)
    return good("state folder", f"{folder}{'' if there == folder else ' can be made'}")


def check_disk(folder: Path, least_mb: float = _LEAST_DISK_MB) -> CheckResult:
    """Compare the free space where `folder` is with `least_mb` and what is comfortable."""
    there = _nearest(folder)
    try:
        free = psutil.disk_usage(str(there)).free / _MB
    except OSError as error:
        mend = "give the folder to the user that starts the node"
        return failed("disk", f"{there}: cannot be looked at ({error.strerror})", mend)
    found = f"{free:.0f} MB free at {there}"
    if free < least_mb:
        return failed("disk", f"{found}; wanted {least_mb:.0f}", "free space, or move the folder")
    if free < _AMPLE_DISK_MB:
        mend = f"keep {_AMPLE_DISK_MB} MB free: a full disk ends the run"
        return warning("disk", found, mend)
    return good("disk", found)


def check_memory(least_mb: float = _LEAST_MEMORY_MB) -> CheckResult:
    """Compare the available memory with `least_mb` and what is comfortable."""
    free = psutil.virtual_memory().available / _MB
    found = f"{free:.0f} MB available"
    if free < least_mb:
        mend = "end other programs, or give the machine more memory"
        return failed("memory", f"{found}; wanted {least_mb:.0f}", mend)
    if free < _AMPLE_MEMORY_MB:
        return warning("memory", found, f"have {_AMPLE_MEMORY_MB} MB available, or add swap")
    return good("memory", found)


def check_port(host: str, port: int, variable: str) -> CheckResult:
    """Tell whether this machine can listen on `host`:`port`, which `variable` sets."""
    name = f"port {port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            return failed(name, f"{host}:{port} cannot be used ({error})", _port_mend(error))
    return good(name, f"{host}:{port} is free ({variable})")


def _port_mend(error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            "a process listens there, maybe the one you are about to start: end it, or set another"
        )
    return "choose an address of this machine and a port from 1024 to 65535"


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    whole = folder.absolute()
    return next(place for place in (whole, *whole.parents) if not _is_absent(place))


def _is_absent(place: Path) -> bool:
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # something is there, or in its way, that this user may not see
        return False
    return False
