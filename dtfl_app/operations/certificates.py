"""A certificate authority of one's own, and certificates by it: the SuperLink's and operators'.

A site needs ``ca.crt`` and nothing else, an operator a certificate too where the proxy asks for
one. ``ca.key`` signs them all: whoever has it can pretend to be the SuperLink or an operator, so
it is kept off the server.

A server's certificate is for servers only, an operator's for clients only, and an operator's
subject has the organisational unit `OPERATORS`, which the proxy looks for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dtfl_app.core.errors import CredentialError
from dtfl_app.operations.private_files import make_folder, refuse_existing, write_private
from twin.files import write_atomically

__all__ = [
    "AUTHORITY",
    "AUTHORITY_KEY",
    "INSIDE",
    "OPERATORS",
    "SERVER",
    "SERVER_KEY",
    "Validity",
    "create_authority",
    "issue_inside_certificate",
    "issue_operator_certificate",
    "issue_server_certificate",
    "operator_files",
    "read_certificate",
    "read_private_key",
    "require_hosts",
    "serial_text",
    "server_names",
]

AUTHORITY, AUTHORITY_KEY = "ca.crt", "ca.key"
SERVER, SERVER_KEY = "superlink.crt", "superlink.key"
#: Folder, beside the authority, of what a SuperLink behind the proxy is given.
INSIDE = "inside"
#: Organisational unit of operators; `docker/proxy/nginx.conf` asks for it.
OPERATORS = "DTFL operators"

#: The SuperLink's own processes reach it by these.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}")
_OPERATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate holds; both times with a zone."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise CredentialError(
                f"a certificate from {self.start} to {self.end} would never hold; expected its end "
                "after its start"
            )


def create_authority(folder: Path, validity: Validity) -> None:
    """Write a new authority: ``ca.crt``, and ``ca.key`` with mode 0600.

    Raises CredentialError when `folder` has certificates or keys of an authority or a server.
    """
    names = (AUTHORITY_KEY, AUTHORITY, SERVER_KEY, SERVER)
    refuse_existing(
        (folder / name for name in names),
        "for a new server certificate by this authority use --renew; for a new authority, which "
        "every site must be given, choose another --out",
    )
    make_folder(folder)
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DTFL federation CA")])
    draft = _draft(name, name, key.public_key(), key.public_key(), validity)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    draft = draft.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    write_private(folder / AUTHORITY_KEY, _private(key))
    certificate = draft.sign(key, SHA384())
    write_atomically(folder / AUTHORITY, certificate.public_bytes(Encoding.PEM))


def issue_server_certificate(folder: Path, hosts: Sequence[str], validity: Validity) -> list[str]:
    """Write ``superlink.crt`` by the authority in `folder`, and ``superlink.key`` if there is none.

    Parameters
    ----------
    folder : with ca.crt and ca.key.
    hosts : DNS names and IP addresses by which sites reach the SuperLink. The loopback's are
        added: the SuperLink's own processes use them.
    validity : must end before the authority's does.

    Returns
    -------
    All names in the certificate. An old certificate is replaced in one step; its key stays.

    Raises CredentialError when a host is none, or the authority cannot be read or ends too early.
    """
    return _issue_for_hosts(folder, folder, hosts, validity)


def issue_inside_certificate(folder: Path, hosts: Sequence[str], validity: Validity) -> list[str]:
    """Write what a SuperLink behind the proxy needs into `folder` / `INSIDE`.

    That is ``ca.crt``, ``superlink.crt`` and ``superlink.key``, for the loopback and `hosts` only:
    a run's code that reads this key cannot pose as the server that sites call. Parameters,
    returned names and errors as of `issue_server_certificate`.
    """
    inside = folder / INSIDE
    _read_authority(folder)
    make_folder(inside)
    names = _issue_for_hosts(folder, inside, hosts, validity)
    write_atomically(inside / AUTHORITY, (folder / AUTHORITY).read_bytes())
    return names


def operator_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Return where certificate and key of operator `name` are, below the authority's `folder`.

    Raises CredentialError unless `name` is up to 63 letters, digits and ``._@-``.
    """
    if not _OPERATOR.fullmatch(name):
        raise CredentialError(
            f"operator {name!r}: expected up to 63 letters, digits and ._@-, the first a letter or "
            "digit, e.g. --operator anna"
        )
    operators = folder / "operators"
    return operators / f"{name}.crt", operators / f"{name}.key"


def issue_operator_certificate(folder: Path, name: str, validity: Validity) -> x509.Certificate:
    """Write an operator's certificate by the authority in `folder`, and a key if there is none.

    Parameters
    ----------
    folder : with ca.crt and ca.key; the files are those of `operator_files`.
    name : of the operator, as `operator_files` takes it.
    validity : must end before the authority's does.

    Returns
    -------
    The certificate: for clients only, with the unit `OPERATORS` and the name. An old one is
    replaced in one step; its key stays.

    Raises CredentialError when the name is none, or the authority cannot be read or ends too early.
    """
    path, key = operator_files(folder, name)
    _read_authority(folder)
    make_folder(path.parent)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, OPERATORS),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return _issue(folder, (path, key), subject, validity, [usage])


def _issue_for_hosts(
    folder: Path, out: Path, hosts: Sequence[str], validity: Validity
) -> list[str]:
    names = list(dict.fromkeys([*hosts, *_LOOPBACK]))
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DTFL SuperLink")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    _issue(folder, (out / SERVER, out / SERVER_KEY), subject, validity, [usage, alternatives])
    return names


def _issue(
    folder: Path,
    files: tuple[Path, Path],
    subject: x509.Name,
    validity: Validity,
    extensions: Sequence[x509.ExtensionType],
) -> x509.Certificate:
    """Write the certificate of one who signs nothing, and its key if there is none, to `files`."""
    path, key_path = files
    authority, signer = _read_authority(folder)
    if validity.end > authority.not_valid_after_utc:
        raise CredentialError(
            f"{path}: would hold until {validity.end:%Y-%m-%d}, longer than its "
            f"authority ({authority.not_valid_after_utc:%Y-%m-%d}); choose fewer --days, or make "
            "a new authority in another folder"
        )
    key = _kept_key(key_path).public_key()
    draft = _draft(subject, authority.subject, key, signer.public_key(), validity)
    draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    draft = draft.add_extension(_usage(digital_signature=True), critical=True)
    for extension in extensions:
        draft = draft.add_extension(extension, critical=False)
    certificate = draft.sign(signer, SHA384())
    write_atomically(path, certificate.public_bytes(Encoding.PEM))
    return certificate


def require_hosts(hosts: Sequence[str]) -> None:
    """Raise CredentialError unless `hosts` are DNS names or IP addresses, at least one."""
    if not hosts:
        raise CredentialError("no host; expected --host NAME, as sites call the SuperLink")
    for host in hosts:
        _alternative(host)


def read_certificate(path: Path) -> x509.Certificate:
    """Read a PEM certificate; raise CredentialError when there is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise CredentialError(
            f"{path}: cannot be read ({error.strerror}); make it with 'dtfl certificates', or copy "
            "it from where it was made"
        ) from error
    except ValueError as error:
        raise CredentialError(
            f"{path}: no PEM certificate ({error}); expected -----BEGIN CERTIFICATE-----. Copy it "
            "again from where it was made"
        ) from error


def serial_text(certificate: x509.Certificate) -> str:
    """Return a certificate's number in hexadecimal, whole bytes, as the proxy compares it."""
    serial = certificate.serial_number
    return serial.to_bytes((serial.bit_length() + 7) // 8, "big").hex().upper()


def server_names(certificate: x509.Certificate) -> list[str]:
    """DNS names and IP addresses that a server certificate stands for; none where it names none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    dns = found.get_values_for_type(x509.DNSName)
    return [*dns, *map(str, found.get_values_for_type(x509.IPAddress))]


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host) or len(host) > 253:
            raise CredentialError(
                f"host {host!r}: neither a DNS name nor an IP address; expected e.g. "
                "superlink.example or 10.0.0.5, without http:// and port, foreign letters as xn--"
            ) from None
        return x509.DNSName(host)


def _read_authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = read_certificate(folder / AUTHORITY)
    key = read_private_key(folder / AUTHORITY_KEY)
    if key.public_key() != certificate.public_key():
        raise CredentialError(
            f"{folder / AUTHORITY_KEY}: not the key of {AUTHORITY} beside it; bring the two "
            "from the same folder"
        )
    return certificate, key


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    validity: Validity,
) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(identifier, critical=False)
    )


def _usage(
    digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _kept_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        return read_private_key(path)
    key = ec.generate_private_key(ec.SECP384R1())
    write_private(path, _private(key))
    return key


def read_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a PEM private key on an elliptic curve; raise CredentialError when there is none."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise CredentialError(
            f"{path}: cannot be read ({error.strerror}); bring it back from where it is kept, or "
            "make a new authority in another folder"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialError(
            f"{path}: no private key in PEM without a passphrase ({error})"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CredentialError(f"{path}: a {type(key).__name__}; expected an elliptic curve key")
    return key
