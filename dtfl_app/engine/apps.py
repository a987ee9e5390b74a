"""The folder of a Flower app, read and checked as Flower's own commands do.

Written for flwr 1.41.0, whose `load_and_validate`, `flatten_dict` and `is_valid_name` are not part
of its public interface.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from flwr.cli.config_utils import load_and_validate
from flwr.common.config import flatten_dict
from flwr.supercore.utils import is_valid_name

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value

__all__ = ["holds_app", "read_config", "require_name"]


def holds_app(folder: Path) -> bool:
    """Say whether a folder is a Flower app's; raise ConfigError if its pyproject.toml is broken."""
    path = folder / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); mend it, or start in another folder"
        ) from error
    return "app" in project.get("tool", {}).get("flwr", {})


def read_config(folder: Path) -> dict[str, Value]:
    """Return ``[tool.flwr.app.config]``, nested tables flattened with dots.

    Raises ConfigError where the folder holds no Flower app, or one that Flower would not take.
    """
    if not holds_app(folder):
        raise ConfigError(
            f"{folder} holds no Flower app: expected a pyproject.toml with [tool.flwr.app], as "
            "'dtfl new app FOLDER' writes one"
        )
    try:
        config, _ = load_and_validate(folder / "pyproject.toml")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return dict(flatten_dict(config["tool"]["flwr"]["app"].get("config")))


def require_name(name: str) -> None:
    """Raise ConfigError for a name that Flower allows no app."""
    valid, reason = is_valid_name(name)
    if not valid:
        raise ConfigError(f"{name!r} cannot be the name of a Flower app: {reason}")
