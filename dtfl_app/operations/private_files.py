"""Files that only their owner may read, and that are never written over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dtfl_app.core.errors import CredentialError

__all__ = ["make_folder", "refuse_existing", "write_private"]


def make_folder(folder: Path) -> None:
    """Create `folder`, for its owner alone, unless it is there.

    Raises CredentialError when it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CredentialError(
            f"{folder}: cannot be made ({error.strerror}); choose a folder you may write to"
        ) from error


def refuse_existing(paths: Iterable[Path], instead: str) -> None:
    """Raise CredentialError with the advice `instead` if any of `paths` exists."""
    if there := [str(path) for path in paths if path.exists()]:
        raise CredentialError(f"{', '.join(there)}: already there and not written over; {instead}")


def write_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600; it has never had another.

    Raises CredentialError when the file is there, or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        refuse_existing([path], "move it away first")
    except OSError as error:
        raise CredentialError(
            f"{path}: cannot be written ({error.strerror}); free the disk or choose another folder"
        ) from error
