"""The file that says which node may call itself by which name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dtfl_app.core.errors import ConfigError, ReplyError
from dtfl_app.core.logs import quoted

__all__ = ["SiteNames", "read_names"]


@dataclass(frozen=True, slots=True)
class SiteNames:
    """Which node may call itself by which name.

    Parameters
    ----------
    nodes : site -> number of the node that its key was registered as; None = any node by any name.
    """

    nodes: Mapping[str, str] | None = None

    @classmethod
    def of(cls, path: str) -> SiteNames:
        """Read the file that the setting `trust.names` names; "" = none."""
        return cls(read_names(Path(path).expanduser()) if path else None)

    def require(self, node: int, site: str) -> None:
        """Raise ReplyError unless `node` may call itself `site`."""
        if self.nodes is not None and self.nodes.get(site) != str(node):
            raise ReplyError(
                f"node {node} calls itself {quoted(site)}, which is not the name that its key was "
                "registered with (trust.names)"
            )


def read_names(path: Path) -> Mapping[str, str]:
    """Read a TOML file of lines ``"site" = "number of its node"``; ConfigError where it is none."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: no file of names ({error}); `dtfl register` writes one"
        ) from error
    for site, node in found.items():
        if not isinstance(node, str) or not (node.isascii() and node.isdecimal()):
            raise ConfigError(
                f"{path}: {site!r} = {node!r}; expected the number of a node in quotes, as "
                "`dtfl register` writes it"
            )
    return found
