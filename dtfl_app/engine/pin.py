"""A gateway that runs the apps it was told of and no other: pins of their hashes.

Whoever may start runs at a SuperLink sends code to every gateway. A gateway with pins compares the
SHA-256 of the app that comes with a run before anything of it is unpacked.

- Written for flwr 1.41.0.
- Puts a comparison before `install_from_fab` in `flwr.supernode.runtime.run_clientapp`, in the
  process that runs a task (``docker/warm/flwr-clientapp``, which stands before Flower's command).
- Breaks when that function is renamed (then every task of a gateway with pins fails, saying so),
  or when SuperExec starts tasks by another command (then pins are never looked at).
- `tests/engine/test_pin.py` tells of the comparison, `tests/system/test_fleet.py` of a gateway.
- Delete it when Flower lets a SuperNode name the apps it runs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from dtfl_app.core.errors import ConfigError

__all__ = ["VARIABLE", "app_hash", "guard", "read_pins"]

#: Environment variable of a gateway: hashes, or the path of a file with one a line.
VARIABLE = "DTFL_PIN"
_HASH = re.compile(r"[0-9a-f]{64}")


def app_hash(folder: Path) -> str:
    """Return the SHA-256 of the Flower app in a folder, as a run would send it to gateways."""
    from flwr.cli.build import build_fab_from_disk  # noqa: PLC0415 - not needed at gateways

    return hashlib.sha256(build_fab_from_disk(folder)).hexdigest()


def read_pins(text: str) -> frozenset[str]:
    """Read pins from hashes separated by commas, or from the file at a path from the root.

    In a file, blank lines and what stands behind "#" do not count. Raises ConfigError naming what
    is no hash.
    """
    named = Path(text)
    try:
        lines = named.read_text().splitlines() if named.is_absolute() else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{VARIABLE} = {text!r}: cannot be read ({error})") from error
    words = [line.partition("#")[0].strip() for line in lines]
    pins = frozenset(word for word in words if word)
    if wrong := sorted(pin for pin in pins if not _HASH.fullmatch(pin)):
        raise ConfigError(
            f"{VARIABLE}: {wrong[0][:80]!r} is no hash of an app; expected 64 hexadecimal digits, "
            "as `dtfl pin` prints them"
        )
    if not pins:
        raise ConfigError(f"{VARIABLE} = {text!r} holds no hash; `dtfl pin` prints an app's")
    return pins


def guard(pins: frozenset[str]) -> None:
    """Let this process unpack no app but those pinned; others are refused with a ConfigError."""
    from flwr.supernode.runtime import run_clientapp  # noqa: PLC0415 - loads what tasks need

    install: Callable[..., Path] = run_clientapp.install_from_fab  # type: ignore[attr-defined] # imported

    def checked(fab_file: Path | bytes, **options: object) -> Path:
        content = fab_file if isinstance(fab_file, bytes) else fab_file.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found not in pins:
            raise ConfigError(
                f"this gateway runs the apps it is pinned to and no other: {found[:12]} is not one "
                f"of {', '.join(sorted(pin[:12] for pin in pins))}; pin it ({VARIABLE}) if it is to"
            )
        return install(content, **options)

    run_clientapp.install_from_fab = checked  # type: ignore[attr-defined, assignment] # as above
