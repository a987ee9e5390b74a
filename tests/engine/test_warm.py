"""Tasks of a gateway run in forks of a process that waits for them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.fleet import wait_until
from tests.support.servers import free_port

HELP = "Run a Flower ClientApp"


@pytest.fixture
def superexec() -> Iterator[subprocess.Popen[bytes]]:
    """Stands for the process that the waiting one is to end with."""
    process = subprocess.Popen(["sleep", "120"])
    yield process
    process.kill()
    process.wait()


def task(folder: Path, parent: int, **environment: str) -> Path:
    """Run a task that prints Flower's help, as SuperExec would start one; return what it wrote."""
    out = folder.parent / f"{len(list(folder.parent.iterdir()))}.out"
    with out.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "dtfl_app.engine.warm", "--help", "--parent-pid", str(parent)],
            env={**os.environ, "DTFL_WARM": str(folder), **environment},
            stdout=file, stderr=file, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == 0, out.read_text()
    # A fork goes on when the process that handed it its task has ended.
    wait_until(lambda: HELP in out.read_text(), 30, "the help")
    return out


def endless_task(folder: Path, parent: int) -> None:
    """Hand over a task whose SuperNode is gone; Flower's client tries to reach it without end."""
    words = ["--runtime-api-address", f"127.0.0.1:{free_port()}", "--token", "none", "--insecure"]
    out = folder.parent / "endless.out"
    with out.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "dtfl_app.engine.warm", *words, "--parent-pid", str(parent)],
            env={**os.environ, "DTFL_WARM": str(folder)}, stdout=file, stderr=file, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    wait_until(lambda: "retrying" in out.read_text(), 30, "it tries")


def listens(name: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(name)) == 0


def waiting(folder: Path) -> list[psutil.Process]:
    everybody = psutil.process_iter(["cmdline"])
    return [p for p in everybody if {"--serve", str(folder)} <= set(p.info["cmdline"] or [])]


@pytest.fixture
def no_flower(tmp_path: Path) -> str:
    """A folder that hides Flower from whoever has it on its path."""
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "flwr.py").write_text("raise ImportError('hidden')")
    return str(tmp_path / "hiding")


def test_the_first_task_runs_cold_and_the_next_without_loading_anything(
    superexec: subprocess.Popen[bytes], tmp_path: Path, no_flower: str
) -> None:
    folder = tmp_path / "warm"

    task(folder, superexec.pid)
    wait_until((folder / "socket").exists, 60, "a process waits")
    task(folder, superexec.pid, PYTHONPATH=no_flower)

    assert (folder / "socket").stat().st_mode & 0o077 == 0
    assert (folder).stat().st_mode & 0o077 == 0

    (process,) = waiting(folder)
    superexec.kill()
    process.wait(timeout=60)
    assert not (folder / "socket").exists()


def test_a_task_that_waits_for_ever_ends_with_its_superexec(
    superexec: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "warm"
    task(folder, superexec.pid)
    wait_until((folder / "socket").exists, 60, "a process waits")
    endless_task(folder, superexec.pid)
    both = waiting(folder)

    superexec.kill()

    _, alive = psutil.wait_procs(both, timeout=60)
    assert (len(both), alive) == (2, [])


def test_a_fork_that_outlives_a_killed_process_does_not_keep_its_successor_out(
    superexec: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "warm"
    task(folder, superexec.pid)
    wait_until((folder / "socket").exists, 60, "a process waits")
    (first,) = waiting(folder)
    endless_task(folder, superexec.pid)
    first.kill()
    first.wait(timeout=60)
    (fork,) = waiting(folder)

    try:
        task(folder, superexec.pid)

        wait_until(lambda: listens(folder / "socket"), 60, "a successor waits")
        assert fork.is_running()
    finally:
        fork.kill()


def test_what_cannot_wait_runs_cold_and_says_why(
    superexec: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 120)

    out = task(long, superexec.pid)

    assert "cold start of a task: DTFL_WARM = " in out.read_text()
    assert waiting(long) == []


def test_a_socket_left_by_a_killed_process_is_taken_over(
    superexec: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "warm"
    task(folder, superexec.pid)
    wait_until((folder / "socket").exists, 60, "a process waits")
    (process,) = waiting(folder)
    process.kill()
    process.wait(timeout=60)

    task(folder, superexec.pid)

    wait_until(lambda: bool(waiting(folder)), 60, "another waits")
    task(folder, superexec.pid)
    assert len(waiting(folder)) == 1
