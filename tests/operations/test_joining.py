"""The start scripts with the real Flower: a SuperLink and a site's SuperNode on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dtfl_app.operations.keys import write_key_pairs
from tests.support.places import REPOSITORY
from tests.support.servers import free_port

DOCKER = REPOSITORY / "docker"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@contextmanager
def started(script: str, log: Path, **variables: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a start script; at the end it is asked to stop, and must do so."""
    environment = ENVIRONMENT | {name: str(value) for name, value in variables.items()}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [DOCKER / script], env=environment, stdout=file, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def wait_for(happened: Callable[[], bool], log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.fixture
def link(certs, tmp_path):
    """A SuperLink's address, and the `flwr` command of its operator."""
    home, port, log = tmp_path / "operator", free_port(), tmp_path / "superlink.out"
    home.mkdir()
    table = f'[superlink.here]\naddress = "localhost:{port}"\n'
    config = f'[superlink]\ndefault = "here"\n{table}root-certificates = "{certs / "ca.crt"}"\n'
    (home / "config.toml").write_text(config)

    def flwr(*arguments: object) -> None:
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        subprocess.run(
            ["flwr", *map(str, arguments)], env=ENVIRONMENT | quiet | {"FLWR_HOME": str(home)},
            capture_output=True, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    variables = {"DTFL_CERTS": certs, "DTFL_STATE": tmp_path / "link"}
    with started("superlink.sh", log, DTFL_HOST="127.0.0.1", DTFL_PORT=port, **variables):
        wait_for(lambda: "Uvicorn running on https" in log.read_text(), log)
        yield f"localhost:{port}", flwr


def test_a_registered_site_joins_and_leaves_and_an_unregistered_one_is_refused(
    link, certs, tmp_path
):
    address, flwr = link
    written = tmp_path / "link" / "logs" / "superlink.log"
    write_key_pairs(tmp_path, ["site-a", "site-b"])
    for name in ("readings.csv", "site.toml"):
        (tmp_path / name).write_text("not read before the first task")
    flwr("supernode", "register", tmp_path / "site-a.pub", "here", "--name", "site-a")

    def node(site: str) -> dict[str, object]:
        return {
            "DTFL_SUPERLINK": address,
            "DTFL_CERTS": certs,
            "DTFL_KEY": tmp_path / site,
            "DTFL_SITE": site,
            "DTFL_DATA": tmp_path / "readings.csv",
            "DTFL_SCHEMA": tmp_path / "site.toml",
            "DTFL_STATE": tmp_path / f"state-{site}",
            "DTFL_NODE_PORT": free_port(),
        }

    logs = {site: tmp_path / f"{site}.out" for site in ("site-a", "site-b")}
    with (
        started("supernode.sh", logs["site-a"], **node("site-a")) as joined,
        started("supernode.sh", logs["site-b"], **node("site-b")) as refused,
    ):
        wait_for(lambda: refused.poll() is not None, logs["site-b"])
        wait_for(lambda: "SuperNode ID:" in logs["site-a"].read_text(), logs["site-a"])

    assert refused.returncode == 1 and "Exit Code: 305" in logs["site-b"].read_text()
    assert written.read_text().count("[Fleet.ActivateNode] Activated") == 1
    assert written.read_text().count("No SuperNode found with the given public key") == 1
    assert joined.returncode == 0 and "terminated gracefully" in logs["site-a"].read_text()
    assert (tmp_path / "link" / "state.db").exists()
