"""Checks of the files by which machines know each other."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)
from cryptography.x509 import BasicConstraints, Certificate, ExtensionNotFound

from dtfl_app.core.errors import CredentialError
from dtfl_app.operations.certificates import (
    AUTHORITY,
    AUTHORITY_KEY,
    SERVER,
    SERVER_KEY,
    read_certificate,
    read_private_key,
    server_names,
)
from dtfl_app.operations.findings import CheckResult, failed, good, warning

__all__ = ["check_authority", "check_expiry", "check_node_key", "check_server_files"]

_SOON = timedelta(days=30)
_RENEW = "renew it: dtfl certificates --renew, then restart the SuperLink"
#: Where flwr 1.41 reaches a SuperLink that listens on every address.
_OWN_WAY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_NEW_AUTHORITY = "make a new authority and server certificate, and give ca.crt to every site"


def check_authority(certs: Path, now: datetime) -> CheckResult:
    """Tell whether ``ca.crt`` in `certs` is an authority's certificate and holds at `now`."""
    try:
        certificate = read_certificate(certs / AUTHORITY)
    except CredentialError as error:
        return _as_finding(AUTHORITY, error)
    if not _signs(certificate):
        mend = "give the authority's ca.crt, not the server's certificate"
        return failed(AUTHORITY, f"{certs / AUTHORITY} is no authority's certificate", mend)
    return check_expiry(AUTHORITY, certificate.not_valid_after_utc, now, _NEW_AUTHORITY)


def check_server_files(certs: Path, host: str, now: datetime) -> list[CheckResult]:
    """Judge the SuperLink's certificate and key in `certs`, as they will be served on `host`."""
    try:
        certificate, authority = (read_certificate(certs / n) for n in (SERVER, AUTHORITY))
        key = read_private_key(certs / SERVER_KEY)
    except CredentialError as error:
        return [_as_finding(SERVER, error)]
    found = [_check_chain(certificate, authority), _check_names(certificate, host)]
    if key.public_key() != certificate.public_key():
        mend = f"bring back the key that belongs to {SERVER}, or remove both and renew"
        found.append(failed(SERVER_KEY, f"not the key of {SERVER} beside it", mend))
    else:
        found.append(_check_mode(SERVER_KEY, certs / SERVER_KEY))
    found.append(check_expiry(f"{SERVER} expiry", certificate.not_valid_after_utc, now, _RENEW))
    if (certs / AUTHORITY_KEY).exists():
        mend = "move it off this machine: who has it can pretend to be the SuperLink"
        found.append(warning(AUTHORITY_KEY, f"{certs / AUTHORITY_KEY} is here", mend))
    return found


def check_node_key(path: Path) -> list[CheckResult]:
    """Judge a SuperNode's private key: format, permissions, and the ``.pub`` beside it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        mend = "give the path of the private key that 'dtfl keys' made, readable to this user"
        return [failed("key", f"{path}: cannot be read ({error.strerror})", mend)]
    try:
        key = load_ssh_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        mend = "make a pair with 'dtfl keys' and register its .pub; Flower reads OpenSSH's format"
        return [failed("key", f"{path}: no OpenSSH private key without passphrase ({error})", mend)]
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        mend = "make a pair with 'dtfl keys' and register its .pub"
        return [failed("key", f"{path}: a {type(key).__name__}, not an elliptic curve key", mend)]
    return [_check_mode("key", path), _check_public(path, key)]


def check_expiry(check: str, end: datetime, now: datetime, mend: str) -> CheckResult:
    """Judge that a certificate holds until `end`; both times with a zone."""
    left = end - now
    if left <= timedelta(0):
        return failed(check, f"expired on {end:%Y-%m-%d %H:%M} UTC", mend)
    found = f"holds until {end:%Y-%m-%d}, {left.days} days"
    return warning(check, found, mend) if left < _SOON else good(check, found)


def _as_finding(check: str, error: CredentialError) -> CheckResult:
    found, _, mend = str(error).partition("; ")
    return failed(check, found, mend or "make it anew with 'dtfl certificates'")


def _signs(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def _check_chain(certificate: Certificate, authority: Certificate) -> CheckResult:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        mend = f"bring {SERVER} and {AUTHORITY} from the same folder, or renew by that authority"
        return failed(SERVER, f"not issued by {AUTHORITY} beside it", mend)
    return good(SERVER, f"issued by {AUTHORITY} beside it")


def _check_names(certificate: Certificate, host: str) -> CheckResult:
    """The process that starts runs comes over TLS too; refused, it dies, and runs stay pending."""
    names, own = server_names(certificate), _OWN_WAY.get(host, host)
    found = f"for {', '.join(names)}"
    if own in names:
        return good(f"{SERVER} names", found)
    mend = f"renew it with --host {own} added: the SuperLink reaches itself by this name"
    return failed(f"{SERVER} names", f"{found}; not for {own}", mend)


def _check_mode(check: str, path: Path) -> CheckResult:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return failed(check, f"{path} has mode {mode:04o}: not private", f"chmod 600 {path}")
    return good(check, f"{path}, mode {mode:04o}")


def _check_public(path: Path, key: ec.EllipticCurvePrivateKey) -> CheckResult:
    beside = path.with_name(f"{path.name}.pub")
    if not beside.exists():
        return good(
            "public key", f"{beside.name} is not here; it was registered, and is not needed"
        )
    expected = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    if beside.read_bytes().split()[:2] != expected.split():
        mend = "bring the pair together again: the SuperLink knows a node by the registered .pub"
        return failed("public key", f"{beside} is not the public key of {path.name}", mend)
    return good("public key", f"{beside.name} belongs to it")
