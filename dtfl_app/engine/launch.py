"""Run the app through Flower's real engine, and find out how it really went.

For a simulation a private SuperLink is started on free loopback ports with a Flower home of its
own, so nothing on the host is shared; it and all it started are stopped by their process ids.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from dtfl_app.core.errors import FederationError
from dtfl_app.core.logs import read_line
from dtfl_app.core.settings import Value

__all__ = ["SuperLink", "flower_environment", "run_config", "simulate", "submit", "superlink"]

_START_SECONDS = 180.0
_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class SuperLink:
    """A running SuperLink.

    Parameters
    ----------
    environment : what `flwr` needs to reach it.
    log : its log file.
    """

    environment: Mapping[str, str]
    log: Path


def flower_environment(home: Path) -> dict[str, str]:
    """Environment for Flower processes: own home, no second installation, no calls home.

    Without the first switch `flwr run` builds a new environment for every run, and with torch in
    it downloads several gigabytes of CUDA builds.
    """
    return {
        **_environment(),
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }


def _environment() -> dict[str, str]:
    """This process's, with Flower's commands on the path and no calls home."""
    return {
        **os.environ,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


@contextmanager
def superlink() -> Iterator[SuperLink]:
    """Start a SuperLink that simulates sites, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="dtfl-flower-") as home:
        environment = flower_environment(Path(home))
        port, control = _free_ports(2)
        link = SuperLink(environment, Path(home) / "superlink.log")
        config = f'[superlink]\ndefault = "dtfl"\n[superlink.dtfl]\naddress = "127.0.0.1:{port}"\n'
        (Path(home) / "config.toml").write_text(config + "insecure = true\n")
        command = [
            *("flower-superlink", "--insecure", "--simulation", "--host", "127.0.0.1"),
            *("--port", str(port), "--control-api-address", f"127.0.0.1:{control}"),
        ]
        with link.log.open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                _await_health(port, process, link.log)
                yield link
            finally:
                _stop(process)


def simulate(
    link: SuperLink, app: Path, settings: Mapping[str, Value], sites: int, actors: int
) -> Iterator[str]:
    """Run the app with `sites` SuperNodes; yield its log lines; raise if the run failed.

    Parameters
    ----------
    link : where to run.
    app : folder with the app's pyproject.toml.
    settings : run-config overrides.
    sites : number of simulated SuperNodes.
    actors : worker processes at most; each serves one site at a time.

    Raises FederationError, with the app's own error or else the log's last lines, when the run did
    not complete. Flower's own exit code says nothing of that.
    """
    options = ["--federation-config", _federation(sites, actors)]
    return _run(link.environment, app, "dtfl", settings, options)


def submit(name: str, app: Path, settings: Mapping[str, Value]) -> Iterator[str]:
    """Run the app on a deployed SuperLink; yield its log lines; raise if the run failed.

    Parameters
    ----------
    name : the SuperLink's name in Flower's config.toml, which FLWR_HOME says where to find.
    app : folder with the app's pyproject.toml.
    settings : run-config overrides; paths are the SuperLink's host's.

    Raises FederationError, with the app's own error or else the log's last lines, when the run did
    not complete or the SuperLink did not take it. Left early, the run goes on.
    """
    return _run(_environment(), app, name, settings, [])


def _run(
    environment: Mapping[str, str],
    app: Path,
    name: str,
    settings: Mapping[str, Value],
    options: list[str],
) -> Iterator[str]:
    command = [
        *("flwr", "run", str(app), name, "--stream", *options),
        *("--run-config", run_config(settings)),
    ]
    tail: list[str] = []
    run_id = reason = ""
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                tail = [*tail[-40:], line.rstrip()]
                if found := re.match(r"Successfully started run (\d+)", line):
                    run_id = found[1]
                reason = _reason(line) or reason
                yield line.rstrip()
        except BaseException:
            # Left early: a run that is silent just now would keep us waiting for its end.
            process.terminate()
            raise
    status = _status(environment, name, run_id)
    if process.returncode or status != "finished:completed":
        # The app says why, unless it never ran or has a fault.
        why = reason or "\n" + "\n".join(tail)
        raise FederationError(
            f"the run ended as {status!r} (flwr exit code {process.returncode}): {why}"
        )


def _reason(line: str) -> str:
    """Why the run failed, where this line of the log tells it."""
    told = read_line(line)
    return str(told.event["reason"]) if told is not None and told.kind == "failed" else ""


def _federation(sites: int, actors: int) -> str:
    return f"num-supernodes={sites} client-resources-num-cpus=1 init-args-num-cpus={actors}"


def run_config(settings: Mapping[str, Value]) -> str:
    """Write settings as `flwr run --run-config` reads them."""
    return " ".join(f"{key}={_toml(value)}" for key, value in settings.items())


def _toml(value: Value) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    # Flower's reader ends a text at the first quote, even at one behind a backslash.
    return '"' + json.dumps(value)[1:-1].replace('\\"', "\\u0022") + '"'


def _status(environment: Mapping[str, str], name: str, run_id: str) -> str:
    """What became of the run; Flower's exit code says nothing of that."""
    if not run_id:
        return "not started"
    listing = subprocess.run(
        ["flwr", "ls", name, "--run-id", run_id, "--format", "json"],
        env=dict(environment), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return str(json.loads(listing.stdout)["runs"][0]["status"])
    except (ValueError, KeyError, IndexError, TypeError):
        return f"unknown ({listing.stdout[-200:]}{listing.stderr[-200:]})"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _await_health(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise FederationError(
        f"SuperLink did not start within {_START_SECONDS:.0f} s (exit code {process.poll()}); "
        f"its log:\n{log.read_text()[-2000:]}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the SuperLink and all it started: a run under way has Ray processes of its own."""
    try:
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
    for member in alive:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
