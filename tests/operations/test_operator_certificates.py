"""Certificates of operators, and of a SuperLink behind the proxy."""

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.core.errors import CredentialError
from dtfl_app.operations.certificates import (
    OPERATORS,
    Validity,
    issue_operator_certificate,
    read_certificate,
    read_private_key,
    server_names,
)
from tests.support.certificates import make_certificates
from tests.support.servers import handshake


def run(*arguments):
    return CliRunner().invoke(app, ["certificates", *map(str, arguments)])


@pytest.fixture
def authority(tmp_path):
    return make_certificates(tmp_path / "certs")


def test_an_operator_s_certificate_is_for_clients_only_and_names_its_kind(authority):
    assert run("--out", authority, "--operator", "anna").exit_code == 0

    found = read_certificate(authority / "operators" / "anna.crt")
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    subject = {a.oid: a.value for a in found.subject}
    assert subject == {NameOID.ORGANIZATIONAL_UNIT_NAME: OPERATORS, NameOID.COMMON_NAME: "anna"}
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    found.verify_directly_issued_by(read_certificate(authority / "ca.crt"))


def test_it_holds_a_month_unless_told_otherwise_and_its_key_is_private(authority):
    run("--out", authority, "--operator", "anna", "--operator", "ben")
    run("--out", authority, "--operator", "short", "--days", "2")

    left = {
        name: read_certificate(authority / "operators" / f"{name}.crt").not_valid_after_utc
        - datetime.now(UTC)
        for name in ("anna", "ben", "short")
    }
    assert {name: round(time / timedelta(days=1)) for name, time in left.items()} == {
        "anna": 30, "ben": 30, "short": 2,
    }  # fmt: skip
    key = authority / "operators" / "anna.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_serial_number_is_printed_as_the_proxy_writes_it(authority):
    result = run("--out", authority, "--operator", "anna")

    serial = read_certificate(authority / "operators" / "anna.crt").serial_number
    printed = result.output.partition("serial ")[2].split()[0]
    assert int(printed, 16) == serial and len(printed) % 2 == 0 and printed == printed.upper()


def test_an_operator_s_certificate_is_not_written_over_and_renewal_keeps_the_key(authority):
    run("--out", authority, "--operator", "anna")
    path, key = (authority / "operators" / f"anna.{kind}" for kind in ("crt", "key"))
    old, kept = read_certificate(path), key.read_bytes()

    refused = run("--out", authority, "--operator", "anna")
    assert refused.exit_code == 2 and "--renew" in refused.stderr
    assert read_certificate(path) == old

    assert run("--out", authority, "--operator", "anna", "--renew").exit_code == 0
    assert read_certificate(path).serial_number != old.serial_number
    assert key.read_bytes() == kept
    assert read_private_key(key).public_key() == read_certificate(path).public_key()


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a,OU=b", "a b", "-a", "grün", "a" * 64])
def test_a_name_that_is_no_file_or_could_pose_as_a_subject_is_refused(authority, name):
    result = run("--out", authority, f"--operator={name}")

    assert result.exit_code == 2 and "expected up to 63 letters" in result.stderr
    assert not (authority / "operators").exists()


def test_an_operator_s_certificate_must_not_outlive_the_authority(authority):
    now = datetime.now(UTC)

    with pytest.raises(CredentialError, match=r"anna\.crt: .* longer than its authority"):
        issue_operator_certificate(authority, "anna", Validity(now, now + timedelta(days=2000)))


def test_without_an_authority_nothing_is_written(tmp_path):
    for words in (["--operator", "anna"], ["--inside"]):
        result = run("--out", tmp_path / "certs", *words)
        assert result.exit_code == 2 and "ca.crt" in result.stderr
    assert not (tmp_path / "certs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--operator", "anna", "--host", "a.example"],
        ["--operator", "anna", "--inside"],
        ["--operator", "anna", "--ca-days", "9"],
        ["--inside", "--ca-days", "9"],
        ["--renew", "--ca-days", "9"],
    ],
)
def test_an_option_that_would_be_dropped_is_refused(authority, words):
    assert run("--out", authority, *words).exit_code == 2
    assert sorted(p.name for p in authority.iterdir()) == [
        "ca.crt", "ca.key", "superlink.crt", "superlink.key",
    ]  # fmt: skip


def test_behind_the_proxy_the_superlink_stands_for_the_loopback_only(tmp_path):
    certs = make_certificates(tmp_path / "certs", ["superlink.example"])

    assert run("--out", certs, "--inside").exit_code == 0

    inside = certs / "inside"
    assert server_names(read_certificate(inside / "superlink.crt")) == [
        "localhost", "127.0.0.1", "::1",
    ]  # fmt: skip
    assert handshake(inside, certs / "ca.crt", "localhost") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(inside, certs / "ca.crt", "superlink.example")
    assert (inside / "superlink.key").read_bytes() != (certs / "superlink.key").read_bytes()
    assert sorted(p.name for p in inside.iterdir()) == ["ca.crt", "superlink.crt", "superlink.key"]


def test_the_inner_certificate_is_renewed_with_its_names_and_key(authority):
    run("--out", authority, "--inside", "--host", "superlink")
    inside = authority / "inside"
    old, kept = read_certificate(inside / "superlink.crt"), (inside / "superlink.key").read_bytes()

    assert run("--out", authority, "--inside").exit_code == 2
    assert run("--out", authority, "--inside", "--renew").exit_code == 0

    new = read_certificate(inside / "superlink.crt")
    assert new != old and server_names(new) == server_names(old)
    assert (inside / "superlink.key").read_bytes() == kept
