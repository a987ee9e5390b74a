"""Where data lies: public data sets, files that settings name, simulated data."""

from __future__ import annotations

import os
from pathlib import Path

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DataError

__all__ = ["SCHEMA_FILE", "cache_dir", "file_in", "own_schema", "resolve_data_dir", "schema_beside"]

#: Site schema of the files of a folder, but for those that have one of their own.
SCHEMA_FILE = "schema.toml"
_DEFAULT_DIR = Path("..") / "shared" / "data"


def cache_dir(config: RunConfig) -> Path:
    """Folder for simulated data: `cache-dir`, or ~/.cache/dtfl."""
    return Path(config.run.cache_dir or "~/.cache/dtfl").expanduser().absolute()


def file_in(config: RunConfig, name: str) -> Path:
    """Path of a file that a setting names: a path from the root, or one in data.dir."""
    return Path(config.data.dir).expanduser() / Path(name).expanduser()


def own_schema(path: Path) -> Path | None:
    """Site schema that is of this file alone, north.toml beside north.csv; None without one."""
    own = path.with_suffix(".toml")
    return own if own.is_file() and own.name != SCHEMA_FILE else None


def schema_beside(path: Path) -> Path:
    """Site schema of a file where no other is named: its own, or schema.toml in its folder."""
    return own_schema(path) or path.parent / SCHEMA_FILE


def resolve_data_dir(setting: str) -> Path:
    """Return the folder of the public data sets.

    The first that is given counts: `setting` (run config), the environment variable DTFL_DATA,
    ``../shared/data`` below the current directory. Raises DataError when it is no folder.
    """
    if setting and not Path(setting).expanduser().is_dir():
        found = "is a file" if Path(setting).expanduser().is_file() else "does not exist"
        raise DataError(
            f"run config: data.dir = {setting!r}: {Path(setting).expanduser().absolute()} {found}; "
            "expected the folder that holds the data"
        )
    chosen = Path(setting or os.environ.get("DTFL_DATA", "") or _DEFAULT_DIR).expanduser()
    if not chosen.is_dir():
        raise DataError(
            f"no data folder: looked for setting data.dir={setting!r}, then environment variable "
            f"DTFL_DATA={os.environ.get('DTFL_DATA', '')!r}, then {_DEFAULT_DIR}, and took "
            f"{chosen}, which is no folder. Set one of them to the folder with batadal/ and 3w/"
        )
    return chosen.resolve()
