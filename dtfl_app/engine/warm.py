"""A ClientApp process that need not load torch again: a fork of one that has.

flwr 1.41 starts a fresh ``flwr-clientapp`` for every message, and on a gateway most of a round's
work is then to import torch and what training needs of it. Here that command hands its task to a
process of this gateway that imported them once and forks for every task; app code is loaded by each
fork, since it comes with the run. The first task runs cold and leaves that process behind. It ends
with the SuperExec that started it, and where it cannot be had the task runs cold, saying why.

- Written for flwr 1.41.0.
- Changes nothing in Flower: ``docker/warm/flwr-clientapp`` stands before Flower's own command on
  the path of SuperExec. It calls `flwr.supernode.cli.flwr_clientapp`, reads ``--parent-pid`` among
  its arguments and imports `flwr.supernode.runtime.run_clientapp` ahead of time.
- Breaks when SuperExec starts tasks by another command or in its own process (then it is never
  called, and tasks run cold), or when one of the two modules is renamed (then every task fails).
- `tests/engine/test_warm.py` tells of the process, `tests/system/test_fleet.py` of a real gateway.
- Delete it, with ``docker/warm`` and ``DTFL_WARM`` in ``docker/supernode.sh``, when Flower keeps a
  process per app from message to message.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dtfl_app.engine.pin import VARIABLE, guard, read_pins

__all__ = ["main", "serve"]

# What a kernel takes as the name of a Unix socket.
_LONGEST_NAME = 100
_SERVE = "--serve"
# Seconds that a task has to end once nobody waits for it.
_GRACE = 5.0


def main(argv: Sequence[str]) -> None:
    """Run one task with Flower's arguments `argv`: by the waiting process, or in this one."""
    folder, parent = os.environ.get("DTFL_WARM", ""), _parent(argv)
    if folder == "off":
        _run_cold(argv, "")
    if not folder or len(_socket(folder)) > _LONGEST_NAME:
        _run_cold(argv, f"DTFL_WARM = {folder!r} is no folder whose path is short enough")
    if parent is None:
        _run_cold(argv, "Flower named no --parent-pid, with which the waiting process would end")
    if not hasattr(os, "pidfd_open"):
        _run_cold(argv, "this system cannot watch a process end; it takes Linux 5.3 or newer")
    if _hand_over(_socket(folder), argv):
        return
    subprocess.Popen(
        [sys.executable, "-m", "dtfl_app.engine.warm", _SERVE, folder, str(parent)],
        stdin=subprocess.DEVNULL,
    )
    _run_cold(argv, "")


def serve(folder: Path, parent: int) -> None:
    """Load what tasks need, then fork for each until process `parent` ends.

    Returns at once where another process serves `folder` already, or `parent` is gone.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock, contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(ProcessLookupError):
            watched = os.pidfd_open(parent)
            _load()
            _accept(_socket(str(folder)), watched, lock.fileno())


def _accept(name: str, watched: int, lock: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(name).unlink()  # of a process that was killed
    # Finished forks need not be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    forks: list[int] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        Path(name).chmod(0o600)
        server.listen()
        while watched not in select.select([server.fileno(), watched], [], [])[0]:
            with server.accept()[0] as caller:
                content, handles, _, _ = socket.recv_fds(caller, 1 << 16, 2)
                if len(handles) < 2:
                    continue  # it ended before it said what it wants
                pid = os.fork()
                if pid == 0:
                    # A fork that outlives this process must not keep its successor out.
                    for own in (server.detach(), watched, lock, *forks):
                        os.close(own)
                    _work(json.loads(content), handles)
                for handle in handles:
                    os.close(handle)
                caller.sendall(b"1")
            forks = _under_way(forks)
            with contextlib.suppress(ProcessLookupError):
                forks.append(os.pidfd_open(pid))
    Path(name).unlink(missing_ok=True)
    _end(_under_way(forks))


def _under_way(forks: list[int]) -> list[int]:
    """Return those that have not ended; let go of the others."""
    ended = select.select(forks, [], [], 0)[0]
    for handle in ended:
        os.close(handle)
    return [handle for handle in forks if handle not in ended]


def _end(forks: list[int]) -> None:
    """End tasks whose SuperExec is gone.

    Flower's own watch raises SIGINT in a thread, which does not wake a main thread that waits for
    objects of a SuperNode that is no more; a signal from outside does.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for handle in forks:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, sign)
        deadline = time.monotonic() + _GRACE
        while (forks := _under_way(forks)) and (left := deadline - time.monotonic()) > 0:
            select.select(forks, [], [], left)


def _work(argv: list[str], handles: list[int]) -> NoReturn:
    """Run one task in a fork; what it writes goes where the caller's output goes."""
    for target, handle in enumerate(handles, start=1):
        os.dup2(handle, target)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _forget_draws()
    code = 1
    try:
        _run(argv)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: what is above this frame belongs to the process that forked.
        os._exit(code)


def _forget_draws() -> None:
    """Forks would all draw the same from Python's and NumPy's global generators."""
    import numpy as np  # noqa: PLC0415 - loaded where tasks are run, not where they are handed over

    random.seed()
    np.random.seed()  # noqa: NPY002 - Flower's noise comes from it


def _run_cold(argv: Sequence[str], why: str) -> NoReturn:
    if why:
        print(f"dtfl: cold start of a task: {why}", file=sys.stderr)
    _run(list(argv))
    sys.exit(0)


def _run(argv: list[str]) -> None:
    if pinned := os.environ.get(VARIABLE):
        guard(read_pins(pinned))
    # The run brings its own copy of this package.
    for name in [name for name in sys.modules if name.partition(".")[0] == "dtfl_app"]:
        del sys.modules[name]
    from flwr.supernode.cli import flwr_clientapp  # noqa: PLC0415 - see `_forget_draws`

    sys.argv = ["flwr-clientapp", *argv]
    flwr_clientapp()


def _load() -> None:
    """Import what every task imports, and all that a first training step brings in.

    One thread only: what another one holds at a fork is never given back.
    """
    import flwr.clientapp  # noqa: PLC0415
    import flwr.supernode.runtime.run_clientapp  # noqa: F401, PLC0415
    import pandas  # noqa: F401, PLC0415
    import safetensors.numpy  # noqa: F401, PLC0415
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.zeros(1, 2)).sum().backward()
    optimizer.step()


def _hand_over(name: str, argv: Sequence[str]) -> bool:
    """Give the task and this process's output to the process that waits, if there is one."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(name)
            socket.send_fds(caller, [json.dumps(list(argv)).encode()], [1, 2])
            return caller.recv(1) == b"1"
        except OSError:
            return False


def _socket(folder: str) -> str:
    return str(Path(folder) / "socket")


def _parent(argv: Sequence[str]) -> int | None:
    """Process id that Flower wants its tasks to end with."""
    words = list(argv)
    if "--parent-pid" not in words[:-1]:
        return None
    named = words[words.index("--parent-pid") + 1]
    return int(named) if named.isdigit() else None


if __name__ == "__main__":
    if sys.argv[1:2] == [_SERVE]:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1:])
