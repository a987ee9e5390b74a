import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from flwr.supercore.address import resolve_bind_address

from dtfl_app.operations.identity import (
    check_authority,
    check_expiry,
    check_node_key,
    check_server_files,
)
from dtfl_app.operations.keys import write_key_pairs
from tests.support.certificates import make_certificates

NOW = datetime.now(UTC)


def verdicts(findings):
    return {f.check: f.verdict for f in findings}


def server_files(certs, host="0.0.0.0"):
    return check_server_files(certs, host, NOW)


@pytest.fixture
def own(tmp_path):
    return make_certificates(tmp_path / "certs")


@pytest.fixture
def key(tmp_path):
    write_key_pairs(tmp_path, ["site-a", "site-b"])
    return tmp_path / "site-a"


def test_an_authority_passes_until_it_ends(certs):
    assert check_authority(certs, NOW).verdict == "ok"
    assert check_authority(certs, NOW + timedelta(days=980)).verdict == "warning"
    assert check_authority(certs, NOW + timedelta(days=1001)).verdict == "failed"


def test_a_server_certificate_in_the_authoritys_place_is_told(own):
    (own / "ca.crt").write_bytes((own / "superlink.crt").read_bytes())

    found = check_authority(own, NOW)

    assert found.verdict == "failed" and "no authority's certificate" in found.found


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_a_missing_or_damaged_authority_fails_with_what_to_do(own, content):
    (own / "ca.crt").unlink()
    if content is not None:
        (own / "ca.crt").write_bytes(content)

    found = check_authority(own, NOW)

    assert found.verdict == "failed" and str(own / "ca.crt") in found.found and found.mend


def test_what_the_server_will_serve_passes_but_its_authoritys_key_should_not_be_there(own):
    assert verdicts(server_files(own)) == {
        "superlink.crt": "ok",
        "superlink.crt names": "ok",
        "superlink.key": "ok",
        "superlink.crt expiry": "ok",
        "ca.key": "warning",
    }
    (own / "ca.key").unlink()
    assert "ca.key" not in verdicts(server_files(own))


def test_a_certificate_of_another_authority_fails(own, tmp_path):
    other = make_certificates(tmp_path / "other")
    (own / "ca.crt").write_bytes((other / "ca.crt").read_bytes())

    assert verdicts(server_files(own))["superlink.crt"] == "failed"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1"])
def test_the_names_must_hold_the_one_by_which_the_superlink_reaches_itself(own, host):
    assert resolve_bind_address(f"[{host}]:1" if ":" in host else f"{host}:1") in (
        "127.0.0.1:1", "[::1]:1",
    )  # fmt: skip
    assert verdicts(server_files(own, host))["superlink.crt names"] == "ok"


def test_an_address_of_its_own_that_the_certificate_does_not_name_fails(own):
    names = [f for f in server_files(own, "10.0.0.5") if f.check == "superlink.crt names"]

    assert names[0].verdict == "failed" and "--host 10.0.0.5" in names[0].mend


def test_a_key_of_another_certificate_fails(own, tmp_path):
    other = make_certificates(tmp_path / "other")
    (own / "superlink.key").write_bytes((other / "superlink.key").read_bytes())

    assert verdicts(server_files(own))["superlink.key"] == "failed"


def test_an_expired_server_certificate_fails(tmp_path):
    expired = make_certificates(tmp_path / "certs", starts=-10, ends=-1)

    assert verdicts(server_files(expired))["superlink.crt expiry"] == "failed"


def test_a_missing_server_key_fails(own):
    (own / "superlink.key").unlink()

    assert verdicts(server_files(own)) == {"superlink.crt": "failed"}


def test_a_server_key_that_others_can_read_fails(own):
    (own / "superlink.key").chmod(0o640)

    assert verdicts(server_files(own))["superlink.key"] == "failed"


def test_a_node_key_passes_with_and_without_its_public_half(key):
    assert verdicts(check_node_key(key)) == {"key": "ok", "public key": "ok"}
    key.with_name("site-a.pub").unlink()
    assert verdicts(check_node_key(key)) == {"key": "ok", "public key": "ok"}


def test_a_node_key_that_others_can_read_fails_with_the_command_that_mends_it(key):
    key.chmod(0o644)

    found = check_node_key(key)[0]

    assert found.verdict == "failed" and found.mend == f"chmod 600 {key}"


def test_a_public_key_of_another_site_fails(key):
    key.with_name("site-a.pub").write_bytes(key.with_name("site-b.pub").read_bytes())

    assert verdicts(check_node_key(key)) == {"key": "ok", "public key": "failed"}


def test_a_key_in_pem_fails_as_flower_would_refuse_it(own):
    (found,) = check_node_key(own / "superlink.key")

    assert found.verdict == "failed" and "no OpenSSH private key" in found.found


def test_a_key_on_another_kind_of_curve_fails(tmp_path):
    path = tmp_path / "ed"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)

    (found,) = check_node_key(path)

    assert found.verdict == "failed" and "not an elliptic curve key" in found.found


def test_a_key_with_a_passphrase_fails(key):
    command = ["ssh-keygen", "-q", "-p", "-N", "secret", "-P", "", "-f", key]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    (found,) = check_node_key(key)

    assert found.verdict == "failed" and "without passphrase" in found.found


def test_a_missing_key_fails(tmp_path):
    (found,) = check_node_key(tmp_path / "nothing")

    assert found.verdict == "failed" and "No such file" in found.found


@pytest.mark.parametrize(("days", "verdict"), [(31, "ok"), (29, "warning"), (-1, "failed")])
def test_an_end_within_a_month_is_a_warning(days, verdict):
    assert check_expiry("it", NOW + timedelta(days=days), NOW, "renew").verdict == verdict
