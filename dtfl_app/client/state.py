"""A site's state on disk: what it keeps between messages outlives its process.

Flower keeps a site's `Context.state` in memory. Here all of it (arrays held for the server, what
int8 uploads lost in rounding, the latest calibration) is written to ``state.dir/SITE/RUN`` after
every reply, and read back by a process that starts with nothing.

A folder holds an index, ``state.json``, with a checksum, and the arrays in safetensors files that
are named after their content: what did not change, such as a teacher, is not written again, and a
crash between two files leaves the last index and all that it names. A folder whose content is not
what was written is set aside, and the site goes on as one that holds nothing: it refuses the next
task for the arrays it lacks and the server sends them all, which costs this site one round.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flwr.app import ConfigRecord, Context, MetricRecord
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dtfl_app.core.errors import CheckpointError, ConfigError, ReplyError
from dtfl_app.core.logs import log
from dtfl_app.core.sections import StateSettings
from dtfl_app.detector.calibration import Sketch
from dtfl_app.messages.calibration import sketch_metrics
from dtfl_app.messages.declaration import Metrics
from dtfl_app.messages.wire import Arrays, to_arrays, to_record
from twin.files import write_atomically

__all__ = ["SiteState", "keep_calibration", "site_state", "state_home"]

_INDEX = "state.json"
_FORMAT = 1
_OWNER = "state-of"
_CALIBRATION = "calibration"
_DAMAGED = ".damaged"
_RUN = re.compile(r"[0-9a-f]{1,64}")


def site_state(site: str, run: str, context: Context, settings: StateSettings) -> SiteState | None:
    """Return where `site` keeps its state of the run of this name.

    None where it is kept in memory alone: no folder is set, in the node's config or the run's, or
    the run has no name. Raises ConfigError when the folder is no path from the root, ReplyError
    when the run's name could not be a folder's.
    """
    home = state_home(site, context, settings)
    if home is None or not run:
        return None
    if not _RUN.fullmatch(run):
        raise ReplyError(f"the task's run is {run!r}; expected up to 64 hexadecimal digits")
    return SiteState(home, site, run, int(settings.limit_mb * 1e6))


def state_home(site: str, context: Context, settings: StateSettings) -> Path | None:
    """Return the folder of a site's states; None where no folder is set.

    Raises ConfigError when it is no path from the root.
    """
    folder = context.node_config.get("state.dir", settings.dir)
    if not folder:
        return None
    # From the root: a site's processes may start in any folder.
    if not isinstance(folder, str) or not Path(folder).expanduser().is_absolute():
        raise ConfigError(f"state.dir = {folder!r}; expected a folder's path from the root")
    return Path(folder).expanduser() / quote(site, safe="")


def keep_calibration(context: Context, sketches: Sequence[Sketch], server_round: int) -> None:
    """Let the site hold its latest calibration, of the model that this round began with."""
    held: Metrics = {**sketch_metrics(sketches), "server-round": server_round}
    context.state[_CALIBRATION] = MetricRecord(held)


@dataclass(frozen=True, slots=True)
class SiteState:
    """One site's state of one run.

    Parameters
    ----------
    home : the site's folder, with a folder per run.
    site : the site's name.
    run : hexadecimal name of the run.
    limit : bytes that `home` may hold; other runs make room, the oldest first.
    """

    home: Path
    site: str
    run: str
    limit: int

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.home / self.run

    def load(self, context: Context) -> None:
        """Fill `context.state` from disk, unless it is this run's already.

        A damaged or foreign folder is set aside, an unreadable one left alone; both are logged, and
        the state is then empty.
        """
        owner = context.state.config_records.get(_OWNER)
        if owner is not None and owner["run"] == self.run:
            return
        context.state.clear()
        try:
            with _locked(self.home):
                self._load(context)
        except FileNotFoundError:
            pass  # a new run
        except OSError as error:
            log.warning("site %s: state in %s cannot be read: %s", self.site, self.folder, error)
        context.state[_OWNER] = ConfigRecord({"run": self.run})

    def save(self, context: Context) -> None:
        """Write `context.state`; what does not fit or cannot be written stays in memory, logged.

        Of two processes of one site the last one's state is kept, whole.
        """
        parts, index = self._packed(context)
        size = len(index) + sum(len(content) for content in parts.values())
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self.home):
                if size > self.limit:
                    log.warning(
                        "site %s: state of %.1f MB stays in memory, state.limit-mb is %g",
                        self.site, size / 1e6, self.limit / 1e6,
                    )  # fmt: skip
                    shutil.rmtree(self.folder, ignore_errors=True)
                    return
                self._make_room(size)
                self._write(parts, index)
        except OSError as error:
            log.warning("site %s: state stays in memory, %s: %s", self.site, self.folder, error)

    # --- writing -----------------------------------------------------------------------------

    def _packed(self, context: Context) -> tuple[dict[str, bytes], bytes]:
        """Files by name, and the index that names them."""
        state = context.state
        contents: dict[str, bytes] = {}
        listed: dict[str, list[str]] = {}
        for record in state.array_records:
            listed[record] = []
            for arrays in _by_prefix(to_arrays(state.array_records[record])):
                content = save(arrays)
                contents[_digest(content)] = content
                listed[record].append(_digest(content))
        index = {
            "format": _FORMAT,
            "site": self.site,
            "run": self.run,
            "arrays": listed,
            "metrics": {name: dict(record) for name, record in state.metric_records.items()},
            "settings": {name: dict(record) for name, record in state.config_records.items()},
        }
        return contents, json.dumps({**index, "checksum": _checksum(index)}, indent=1).encode()

    def _write(self, parts: Mapping[str, bytes], index: bytes) -> None:
        self.folder.mkdir(exist_ok=True)
        for name, content in parts.items():
            path = self.folder / name
            if not path.exists() or path.stat().st_size != len(content):
                write_atomically(path, content)
        write_atomically(self.folder / _INDEX, index)
        for path in self.folder.iterdir():
            if path.name != _INDEX and path.name not in parts:
                path.unlink()

    def _make_room(self, size: int) -> None:
        """Remove other runs, the one that was longest untouched first, until `size` more fits."""
        others = [path for path in self.home.iterdir() if path.is_dir() and path != self.folder]
        others.sort(key=lambda path: path.stat().st_mtime)
        total = size + sum(map(_size, others))
        for path in others:
            if total <= self.limit:
                return
            total -= _size(path)
            log.info("site %s: state of run %s makes room", self.site, path.name)
            shutil.rmtree(path)

    # --- reading -----------------------------------------------------------------------------

    def _load(self, context: Context) -> None:
        if not self.folder.exists():
            return
        try:
            index = self._index()
            arrays = {name: self._arrays(files) for name, files in index["arrays"].items()}
            metrics = {name: MetricRecord(held) for name, held in index["metrics"].items()}
            settings = {name: ConfigRecord(held) for name, held in index["settings"].items()}
        except (CheckpointError, FileNotFoundError) as error:
            aside = self.folder.with_name(self.run + _DAMAGED)
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.rename(aside)
            log.warning(
                "site %s: state set aside as %s, so the server must send everything again: %s",
                self.site, aside, error,
            )  # fmt: skip
            return
        for name, held in arrays.items():
            context.state[name] = to_record(held)
        for record in (metrics, settings):
            context.state.update(record)

    def _index(self) -> dict[str, Any]:
        path = self.folder / _INDEX
        try:
            index = json.loads(path.read_bytes())
            checksum = index.pop("checksum")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: not an index of a site's state ({error})") from error
        if checksum != _checksum(index):
            raise CheckpointError(f"{path}: its checksum is not that of its content")
        found = tuple(index.get(key) for key in ("format", "site", "run"))
        if found != (_FORMAT, self.site, self.run):
            raise CheckpointError(
                f"{path}: format, site and run are {found}; expected "
                f"{(_FORMAT, self.site, self.run)}"
            )
        return dict(index)

    def _arrays(self, files: list[str]) -> Arrays:
        arrays: Arrays = {}
        for name in files:
            content = (self.folder / name).read_bytes()
            if _digest(content) != name:
                raise CheckpointError(f"{self.folder / name}: its content is not what was written")
            try:
                arrays |= load(content)
            except SafetensorError as error:
                raise CheckpointError(f"{self.folder / name}: {error}") from error
        return arrays


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Keep other processes of this site out of its folder; the lock dies with its process."""
    handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _by_prefix(arrays: Arrays) -> list[Arrays]:
    """Arrays that change together: the model's, the teacher's, the scaler's."""
    groups: dict[str, Arrays] = {}
    for name, array in arrays.items():
        groups.setdefault(name.partition("/")[0], {})[name] = array
    return list(groups.values())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum(index: Mapping[str, object]) -> str:
    return _digest(json.dumps(index, sort_keys=True).encode())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))
