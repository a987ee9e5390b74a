import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.core.errors import CredentialError
from dtfl_app.operations.certificates import (
    Validity,
    issue_server_certificate,
    read_certificate,
    server_names,
)
from tests.support.certificates import DAY, make_certificates
from tests.support.servers import handshake


def run(*arguments):
    return CliRunner().invoke(app, ["certificates", *map(str, arguments)])


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_client_that_knows_the_authority_connects(certs, name):
    assert handshake(certs, certs / "ca.crt", name) == "TLSv1.3"


def test_another_name_is_refused(certs):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(certs, certs / "ca.crt", "superlink.example")


def test_another_authority_is_refused(certs, tmp_path):
    other = make_certificates(tmp_path / "other")

    with pytest.raises(ssl.SSLCertVerificationError, match=r"local issuer|signature"):
        handshake(certs, other / "ca.crt", "localhost")


def test_two_authorities_in_one_file_carry_over_a_change(certs, tmp_path):
    new, both = make_certificates(tmp_path / "new"), tmp_path / "both.crt"
    both.write_bytes((certs / "ca.crt").read_bytes() + (new / "ca.crt").read_bytes())

    assert [handshake(by, both, "localhost") for by in (certs, new)] == ["TLSv1.3"] * 2


def test_an_expired_certificate_is_refused(tmp_path):
    expired = make_certificates(tmp_path / "certs", starts=-10, ends=-1)

    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        handshake(expired, expired / "ca.crt", "localhost")


def test_a_certificate_is_for_servers_only_and_its_authority_signs_no_other_authority(certs):
    server = read_certificate(certs / "superlink.crt").extensions
    authority = read_certificate(certs / "ca.crt").extensions

    assert not server.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = server.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    assert authority.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_keys_are_private(certs):
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in certs.glob("*.key")}

    assert modes == {"ca.key": 0o600, "superlink.key": 0o600}


def test_the_command_names_hosts_and_the_loopback_that_the_superlink_itself_uses(tmp_path):
    result = run("--out", tmp_path / "c", "--host", "superlink.example", "--host", "10.0.0.5")

    assert result.exit_code == 0
    names = server_names(read_certificate(tmp_path / "c" / "superlink.crt"))
    assert names == ["superlink.example", "localhost", "10.0.0.5", "127.0.0.1", "::1"]


def test_nothing_is_written_over_and_the_message_says_how_to_go_on(tmp_path):
    run("--out", tmp_path, "--host", "a.example")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    result = run("--out", tmp_path, "--host", "a.example")

    assert result.exit_code == 2
    assert "already there and not written over" in result.stderr and "--renew" in result.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_renewal_keeps_authority_names_and_key_and_holds_longer(tmp_path):
    run("--out", tmp_path, "--host", "a.example", "--days", "10")
    old = read_certificate(tmp_path / "superlink.crt")
    kept = {n: (tmp_path / n).read_bytes() for n in ("ca.crt", "ca.key", "superlink.key")}

    result = run("--out", tmp_path, "--renew", "--days", "20")

    new = read_certificate(tmp_path / "superlink.crt")
    assert result.exit_code == 0 and "restart the SuperLink" in result.output
    assert server_names(new) == server_names(old)
    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert {n: (tmp_path / n).read_bytes() for n in kept} == kept


def test_with_its_key_moved_away_renewal_makes_a_new_one(tmp_path):
    certs = make_certificates(tmp_path / "certs")
    old = (certs / "superlink.key").rename(tmp_path / "old.key").read_bytes()

    assert run("--out", certs, "--renew").exit_code == 0
    assert (certs / "superlink.key").read_bytes() != old
    assert handshake(certs, certs / "ca.crt", "localhost") == "TLSv1.3"


@pytest.mark.parametrize("host", ["http://a.example", "a.example:8000", "a b", "", "-a", "grün"])
def test_a_host_that_is_none_is_refused_before_anything_is_written(tmp_path, host):
    result = run("--out", tmp_path / "certs", "--host", host)

    assert result.exit_code == 2 and "neither a DNS name nor an IP address" in result.stderr
    assert not (tmp_path / "certs").exists()


def test_no_host_is_refused(tmp_path):
    result = run("--out", tmp_path / "certs")

    assert result.exit_code == 2 and "expected --host NAME" in result.stderr


def test_a_certificate_must_not_outlive_its_authority(tmp_path):
    certs = make_certificates(tmp_path / "certs")
    now = datetime.now(UTC)

    with pytest.raises(CredentialError, match=r"longer than its authority .* fewer --days"):
        issue_server_certificate(certs, ["localhost"], Validity(now, now + 2000 * DAY))


def test_a_key_of_another_authority_is_refused(tmp_path):
    certs, other = (make_certificates(tmp_path / name) for name in ("one", "two"))
    (certs / "ca.key").write_bytes((other / "ca.key").read_bytes())
    now = datetime.now(UTC)

    with pytest.raises(CredentialError, match=r"not the key of ca\.crt"):
        issue_server_certificate(certs, ["localhost"], Validity(now, now + DAY))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ca.crt", None, "cannot be read"),
        ("ca.crt", b"nonsense", "no PEM certificate"),
        ("ca.key", None, "bring it back"),
        ("ca.key", b"nonsense", "no private key in PEM"),
    ],
)
def test_a_missing_or_damaged_authority_is_named(tmp_path, name, content, message):
    certs = make_certificates(tmp_path / "certs")
    (certs / name).unlink()
    if content is not None:
        (certs / name).write_bytes(content)

    result = run("--out", certs, "--renew", "--host", "localhost")

    assert result.exit_code == 2 and name in result.stderr and message in result.stderr


def test_a_validity_that_ends_before_it_starts_is_refused():
    now = datetime.now(UTC)

    with pytest.raises(CredentialError, match="would never hold"):
        Validity(now, now - timedelta(seconds=1))
