"""A SuperLink and gateways on loopback, as real processes: the scripts that images and units run.

TLS and node authentication are on. Every site has a home, a key and a file of its own; whatever is
started is stopped by its process id.
"""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from dtfl_app.operations.keys import write_key_pairs
from tests.support.certificates import make_certificates
from tests.support.places import REPOSITORY
from tests.support.servers import free_port
from tests.support.settings import keyed

__all__ = ["LINK", "Fleet", "Process", "fleet", "wait_until"]

SCRIPTS = REPOSITORY / "docker"
LINK = "loopback"


def wait_until(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition; AssertionError when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@dataclass
class Process:
    """A script that runs, with its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def says(self, words: str, seconds: float = 120.0) -> None:
        """Wait until the log holds `words`."""
        wait_until(lambda: words in self.text, seconds, f"{words!r} in:\n{self.text[-3000:]}")

    def family(self) -> list[psutil.Process]:
        """The process and all that it started."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self, hard: bool = False) -> None:
        """Stop it and all it started; `hard` as by a power cut."""
        family = self.family()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                (member.kill if hard else member.terminate)()
        _, alive = psutil.wait_procs(family, timeout=10)
        for member in alive:
            member.kill()
        psutil.wait_procs(alive, timeout=10)
        self.process.wait(timeout=10)


@dataclass
class Fleet:
    """What one federation consists of.

    Parameters
    ----------
    folder : holds certificates, keys, states and logs.
    port : the SuperLink's.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    started: list[Process] = field(default_factory=list)

    @property
    def certs(self) -> Path:
        return self.folder / "certs"

    @property
    def results(self) -> Path:
        """Where runs of this fleet are stored."""
        return self.folder / "results"

    @property
    def names(self) -> Path:
        """Which name goes with which key."""
        return self.folder / "names.toml"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def environment(self, **more: object) -> dict[str, str]:
        """Environment of a process: Flower's and dtfl's commands on the path, and `more`."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        own = {k: v for k, v in os.environ.items() if not k.startswith(("FLWR_", "DTFL_"))}
        return {**own, "PATH": path, **{key: str(value) for key, value in more.items()}}

    @property
    def operator(self) -> dict[str, str]:
        """Environment of the person who registers sites and starts runs."""
        return self.environment(
            FLWR_HOME=self.folder / "operator",
            FLWR_TELEMETRY_ENABLED=0,
            FLWR_DISABLE_UPDATE_CHECK=1,
        )

    def prepare(self) -> None:
        """Make certificates, if there are none, and the operator's list of SuperLinks."""
        if not self.certs.exists():
            make_certificates(self.certs, ["127.0.0.1"])
        home = self.folder / "operator"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{LINK}"\n\n[superlink.{LINK}]\n'
            f'address = "{self.address}"\nroot-certificates = "{self.certs / "ca.crt"}"\n'
        )

    def superlink(self, trusted: bool = True) -> Process:
        """Start the SuperLink and wait until it is up; over TLS, if its certificate is trusted."""
        process = self.start(
            "superlink.sh", "superlink",
            DTFL_CERTS=self.certs, DTFL_STATE=self.folder / "superlink", DTFL_HOST="127.0.0.1",
            DTFL_PORT=self.port,
        )  # fmt: skip
        wait_until(self._answers if trusted else self._listens, 240.0, "the SuperLink is up")
        return process

    def key(self, site: str, register: bool = True) -> Path:
        """Make a site's key pair, and register it."""
        (public,) = write_key_pairs(self.folder / "keys", [site])
        if register:
            self.dtfl("register", LINK, str(public), "--names", str(self.names))
        return public.with_suffix("")

    def site(self, name: str, data: Path, schema: Path, **settings: object) -> Process:
        """Start a site's SuperNode."""
        chosen: dict[str, object] = {
            "DTFL_SUPERLINK": self.address,
            "DTFL_CERTS": self.certs,
            "DTFL_KEY": self.folder / "keys" / name,
            "DTFL_SITE": name,
            "DTFL_DATA": data,
            "DTFL_SCHEMA": schema,
            "DTFL_STATE": self.folder / "sites" / name,
            "DTFL_NODE_PORT": free_port(),
            **settings,
        }
        return self.start("supernode.sh", name, **chosen)

    def start(self, script: str, name: str, **settings: object) -> Process:
        """Start one of the scripts."""
        return self.run(name, ["sh", str(SCRIPTS / script)], self.environment(**settings))

    def run(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        """Start a command; its log goes to a file of its own."""
        log = self.folder / "logs" / f"{name}-{len(self.started)}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, cwd=self.folder,
            )  # fmt: skip
        self.started.append(Process(process, log))
        return self.started[-1]

    def flwr(self, *words: str) -> str:
        """Run one of Flower's commands as the operator."""
        return self._operate("flwr", *words)

    def dtfl(self, *words: str) -> str:
        """Run one of our commands as the operator."""
        return self._operate(sys.executable, "-m", "dtfl_app.cli.main", *words)

    def _operate(self, *words: str) -> str:
        done = subprocess.run(
            words, env=self.operator, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submitting(self, name: str, **settings: object) -> subprocess.Popen[str]:
        """Begin `dtfl submit`."""
        chosen = {"results-dir": self.results, "run-name": name}
        chosen |= keyed(**settings)
        words = [f"{key}={value}" for key, value in chosen.items()]
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "dtfl_app.cli.main", "submit", LINK),
                *("--app", str(REPOSITORY)), *words,
            ],
            env=self.operator, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, cwd=REPOSITORY,
        )  # fmt: skip

    def submit(self, name: str, **settings: object) -> str:
        """Run the app with the sites that are connected; return what was printed."""
        process = self.submitting(name, **settings)
        out, _ = process.communicate(timeout=600)
        assert process.returncode == 0, out
        return out

    def stop(self) -> None:
        """Stop all that was started; AssertionError when something of it goes on."""
        for process in reversed(self.started):
            process.end()
        wait_until(lambda: not self._left(), 30.0, "what the gateways started has ended")

    def _left(self) -> list[psutil.Process]:
        """Processes that name a file of this fleet."""
        everybody = psutil.process_iter(["cmdline"])
        return [p for p in everybody if str(self.folder) in " ".join(p.info["cmdline"] or [])]

    def _listens(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.port)) == 0

    def _answers(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.certs / "ca.crt"))
        try:
            with urlopen(f"https://{self.address}/health", timeout=1, context=trust):
                return True
        except (URLError, OSError):
            return False


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Prepare a fleet in `folder`, which may hold certificates, and stop all of it at the end."""
    made = Fleet(folder)
    made.prepare()
    try:
        yield made
    finally:
        made.stop()
