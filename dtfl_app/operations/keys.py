"""Key pairs by which a SuperLink knows its SuperNodes: ECDSA on P-384, in OpenSSH's format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dtfl_app.core.errors import CredentialError
from dtfl_app.operations.private_files import make_folder, refuse_existing, write_private

__all__ = ["write_key_pairs"]

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


def write_key_pairs(folder: Path, sites: Sequence[str]) -> list[Path]:
    """Write a key pair for each of `sites`: ``SITE`` (private, mode 0600) and ``SITE.pub``.

    Returns
    -------
    The public keys' files, in the order of `sites`: what is registered at the SuperLink.

    Raises CredentialError, before anything is written, when a name is no file name or a key exists.
    """
    for site in sites:
        if not _FILE_NAME.fullmatch(site) or site.endswith(".pub"):
            raise CredentialError(
                f"site {site!r}: no name for a key file; expected letters, digits, '.', '_' and "
                "'-' without .pub at the end. The node's site-name may be another"
            )
    if len(set(sites)) < len(sites):
        raise CredentialError(f"sites {list(sites)}: one is named twice; expected each once")
    files = [folder / name for site in sites for name in (site, f"{site}.pub")]
    refuse_existing(files, "to replace a site's key, move the old pair away first")
    make_folder(folder)
    return [_write_pair(folder, site) for site in sites]


def _write_pair(folder: Path, site: str) -> Path:
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    write_private(folder / site, private)
    path = folder / f"{site}.pub"
    path.write_bytes(public + f" {site}\n".encode())
    return path
