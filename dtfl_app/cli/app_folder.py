"""Which Flower app a command runs: the one in a folder, or DTFL as it is installed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dtfl_app.cli.new import defaults, write_app
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value
from dtfl_app.engine.apps import holds_app, read_config

__all__ = ["HELP", "AppFolder", "find_own_modules", "open_app"]

#: Of the option that names the folder.
HELP = "folder of the Flower app; default: this one, or DTFL itself where this is none"


@dataclass(frozen=True, slots=True)
class AppFolder:
    """A Flower app that stands on DTFL.

    Parameters
    ----------
    path : its folder, from the root.
    config : all settings of its pyproject.toml.
    """

    path: Path
    config: Mapping[str, Value]

    def settings(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Put what is given over the app's settings that are not DTFL's defaults.

        A resumed run has settings of its own, which the app's do not touch.
        """
        if given.get("resume"):
            return dict(given)
        usual = defaults()
        own = {key: value for key, value in self.config.items() if value != usual.get(key)}
        return {**own, **given}

    def require(self, keys: Iterable[str]) -> None:
        """Raise ConfigError for settings that the app lacks: Flower could not override them."""
        missing = [key for key in keys if key in defaults() and key not in self.config]
        if missing:
            raise ConfigError(
                f"{self.path / 'pyproject.toml'}: [tool.flwr.app.config] lacks "
                f"{', '.join(missing)}, so this is another app than DTFL, or an older one; "
                "'dtfl new app FOLDER' writes one that has every setting"
            )


def find_own_modules(folder: Path | None = None) -> None:
    """Let the modules of the app in `folder`, or in the current one, be imported from now on."""
    here = (folder or Path()).absolute()
    if holds_app(here):
        sys.path.insert(0, str(here))


@contextmanager
def open_app(given: Path | None) -> Iterator[AppFolder]:
    """Yield the app in the folder given, or in the current one, or DTFL as it is installed.

    A strategy that lies in its folder can be imported from then on, as in Flower's processes.
    Raises ConfigError where a pyproject.toml is broken, or the folder given holds no Flower app.
    """
    here = (given or Path()).absolute()
    if given is not None or holds_app(here):
        app = AppFolder(here, read_config(here))
        find_own_modules(here)
        yield app
    else:
        with tempfile.TemporaryDirectory(prefix="dtfl-app-") as place:
            folder = write_app(Path(place) / "dtfl")
            yield AppFolder(folder, read_config(folder))
