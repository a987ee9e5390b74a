"""Registering gateways at a SuperLink, and keeping which name goes with which key.

A SuperLink knows a node by its key and gives each key a number; what a site calls itself it does
not know. The file of names binds the two: a run that is told of it (`trust.names`) refuses a node
that calls itself by the name of another key.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from dtfl_app.core.errors import CredentialError
from dtfl_app.core.site_names import read_names
from twin.files import write_atomically

__all__ = ["register"]

_HEAD = "# Site -> number of the node that its key was registered as; written by dtfl register.\n"


def register(link: str, public_keys: Sequence[Path], names: Path) -> dict[str, str]:
    """Register public keys, each under its file's stem, and add them to the file of names.

    Parameters
    ----------
    link : the SuperLink's name in Flower's config.toml.
    public_keys : ``SITE.pub`` files of `keys.write_key_pairs`.
    names : TOML file, made where there is none; a site that is in it already gets its new number.

    Returns
    -------
    Site -> number of its node, of those registered now.

    Raises CredentialError naming the key that the SuperLink does not take; the ones before it are
    registered, and in the file.
    """
    known = dict(read_names(names)) if names.exists() else {}
    found: dict[str, str] = {}
    for path in public_keys:
        site = path.stem
        found[site] = known[site] = _registered(link, path, site)
        write_atomically(names, (_HEAD + _lines(known)).encode())
    return found


def _lines(known: Mapping[str, str]) -> str:
    return "".join(
        f"{json.dumps(site, ensure_ascii=False)} = {json.dumps(node)}\n"
        for site, node in sorted(known.items())
    )


def _registered(link: str, path: Path, site: str) -> str:
    """Number of the node that a key is registered as."""
    command = ["flwr", "supernode", "register", str(path), link, "--name", site]
    done = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # What Flower says for a person may stand before it.
        told = json.loads(done.stdout[done.stdout.index("{") :])
        return str(int(told["node-id"]))
    except (ValueError, KeyError, TypeError):
        said = " ".join(f"{done.stdout} {done.stderr}".split())[-400:]
        raise CredentialError(
            f"{path}: {link} did not register it ({said or 'it said nothing'}); a key is taken "
            f"once: `flwr supernode unregister NODE {link}` takes one back"
        ) from None
