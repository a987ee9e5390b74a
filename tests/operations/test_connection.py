import inspect
import re
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE
from flwr.superlink.routers.fleet import node_auth

from dtfl_app.operations.connection import EARLIEST_S, LATEST_S, check_clock, check_superlink
from tests.support.certificates import make_certificates
from tests.support.servers import free_port, serve


def now():
    return datetime.now(UTC)


def check(port, certs, host="localhost"):
    """Findings by name, and the last one: the first failure ends the checks."""
    findings = list(check_superlink(f"{host}:{port}", certs, now))
    return {f.check: f.verdict for f in findings}, findings[-1]


def test_a_sound_server_passes_every_step(certs):
    with serve(certs) as port:
        verdicts, _ = check(port, certs)

    steps = ["name", "port", "TLS", "server certificate", "SuperLink", "clock"]
    assert verdicts == dict.fromkeys(steps, "ok")


@pytest.mark.parametrize("address", ["localhost", "http://localhost:80", ":80", "h:http", ""])
def test_an_address_without_host_or_port_is_refused(certs, address):
    (found,) = check_superlink(address, certs, now)

    assert (found.check, found.verdict) == ("address", "failed")


def test_a_name_that_nobody_knows_fails(certs):
    verdicts, last = check(80, certs, host="nowhere.invalid")

    assert verdicts == {"name": "failed"} and "/etc/hosts" in last.mend


def test_a_closed_port_fails(certs):
    verdicts, last = check(free_port(), certs)

    assert verdicts == {"name": "ok", "port": "failed"}
    assert "Connection refused" in last.found and "start the SuperLink" in last.mend


def test_a_plain_http_server_is_not_taken_for_tls(certs):
    with serve(None) as port:
        verdicts, last = check(port, certs)

    assert verdicts["TLS"] == "failed" and "speaks no TLS" in last.mend


def test_a_server_that_hangs_up_is_reported(certs):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        verdicts, _ = check(listener.getsockname()[1], certs)
        thread.join()

    assert verdicts["TLS"] == "failed"


def test_another_authority_fails_and_says_which_file_to_copy(certs, tmp_path):
    other = make_certificates(tmp_path / "other")
    with serve(other) as port:
        verdicts, last = check(port, certs)

    assert verdicts["TLS"] == "failed" and "copy ca.crt again" in last.mend


def test_a_name_outside_the_certificate_fails_and_says_how_to_renew(tmp_path):
    certs = make_certificates(tmp_path / "certs")
    with serve(certs, host="127.0.0.2") as port:
        verdicts, last = check(port, certs, host="127.0.0.2")

    assert verdicts["TLS"] == "failed" and "--host 127.0.0.2" in last.mend


def test_an_expired_certificate_fails(tmp_path):
    expired = make_certificates(tmp_path / "certs", starts=-10, ends=-1)
    with serve(expired) as port:
        verdicts, last = check(port, expired)

    assert verdicts["TLS"] == "failed"
    assert "expired" in last.found and "--renew" in last.mend


def test_a_certificate_of_tomorrow_points_to_the_clock(tmp_path):
    early = make_certificates(tmp_path / "certs", starts=1, ends=2)
    with serve(early) as port:
        verdicts, last = check(port, early)

    assert verdicts["TLS"] == "failed" and "clock" in last.mend


def test_a_certificate_that_ends_soon_is_a_warning(tmp_path):
    certs = make_certificates(tmp_path / "certs", ends=7.5)
    with serve(certs) as port:
        verdicts, _ = check(port, certs)

    assert verdicts["server certificate"] == "warning"


def test_a_ca_file_that_is_no_certificate_fails(certs, tmp_path):
    (tmp_path / "ca.crt").write_text("nonsense")
    with serve(certs) as port:
        verdicts, _ = check(port, tmp_path)

    assert verdicts["TLS"] == "failed"


def test_another_service_over_tls_is_not_taken_for_a_superlink(certs):
    with serve(certs, status=404) as port:
        verdicts, last = check(port, certs)

    assert verdicts["SuperLink"] == "failed" and "says 404" in last.found


@pytest.mark.parametrize("ahead", [400, -60])
def test_a_clock_that_the_superlink_would_refuse_fails(certs, ahead):
    """The server's clock is ahead by 400 s (this one is behind, > 305), or behind by 60 s (> 5)."""
    with serve(certs, ahead_s=ahead) as port:
        verdicts, last = check(port, certs)

    assert verdicts["clock"] == "failed" and "NTP" in last.mend


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0, "ok"), (3, "ok"), (4, "warning"), (5.1, "failed"), (-100, "ok"), (-200, "warning")],
)
def test_the_clock_is_judged_by_what_flower_takes(ahead, verdict):
    assert check_clock(ahead).verdict == verdict


def test_the_limits_are_those_of_the_installed_flower():
    assert LATEST_S == SYSTEM_TIME_TOLERANCE
    assert -EARLIEST_S == TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE
    source = re.sub(r"\s+", " ", inspect.getsource(node_auth.authenticate_node))
    assert "-SYSTEM_TIME_TOLERANCE < age < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE" in source


def test_this_clock_is_what_is_compared(certs):
    with serve(certs) as port:
        findings = list(
            check_superlink(f"localhost:{port}", certs, lambda: now() + timedelta(seconds=30))
        )

    assert findings[-1].verdict == "failed" and "ahead of" in findings[-1].found
