"""Checks of the way to the SuperLink: name, port, TLS, certificate, service, clock."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

from dtfl_app.operations.certificates import AUTHORITY
from dtfl_app.operations.findings import CheckResult, failed, good, warning
from dtfl_app.operations.identity import check_expiry

__all__ = ["EARLIEST_S", "LATEST_S", "check_clock", "check_superlink"]

#: flwr 1.41 refuses a node whose clock differs more than this from the SuperLink's, in seconds.
EARLIEST_S, LATEST_S = -305.0, 5.0
#: HTTP states the time in whole seconds, so a difference is known to about one.
_RESOLUTION_S = 1.5

_TIMEOUT_S = 10.0
_RENEW = "renew it on the server: dtfl certificates --renew, then restart the SuperLink"
# OpenSSL's numbers of what is wrong with a certificate (x509_vfy.h).
_EXPIRED, _TOO_EARLY, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64


def check_superlink(
    address: str, certs: Path, clock: Callable[[], datetime]
) -> Iterator[CheckResult]:
    """Go to the SuperLink at `address` (host:port) as a node would, up to the first failure."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or "/" in host:
        mend = "set DTFL_SUPERLINK or --superlink to e.g. superlink.example:8000, without http://"
        yield failed("address", f"{address!r} is not host:port", mend)
        return
    try:
        place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, OverflowError) as error:
        mend = "correct the name, or add it to the DNS or /etc/hosts of this machine"
        yield failed("name", f"{host} cannot be looked up ({error})", mend)
        return
    yield good("name", f"{host} is {place}")
    yield from _connect(host, int(port), certs / AUTHORITY, clock)


def _connect(
    host: str, port: int, authority: Path, clock: Callable[[], datetime]
) -> Iterator[CheckResult]:
    try:
        connection = socket.create_connection((host, port), _TIMEOUT_S)
    except OSError as error:
        mend = "start the SuperLink, open the port in the firewalls between, or correct the port"
        yield failed("port", f"{host}:{port} does not answer ({error})", mend)
        return
    with connection:
        yield good("port", f"{host}:{port} answers")
        try:
            context = ssl.create_default_context(cafile=str(authority))
            secure = context.wrap_socket(connection, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            yield _untrusted(error, host)
            return
        except OSError as error:  # every error of ssl, and of a file that is no certificate, is one
            mend = (
                "the server speaks no TLS there, or ca.crt is damaged: start the SuperLink with "
                "docker/superlink.sh, and see that no proxy stands between"
            )
            yield failed("TLS", f"no secure connection ({error})", mend)
            return
        with secure:
            yield good("TLS", f"{secure.version()}, chain and name verified by {authority}")
            yield _check_served(secure, clock())
            yield from _ask(secure, host, port, clock)


def _check_served(secure: ssl.SSLSocket, now: datetime) -> CheckResult:
    end = float(ssl.cert_time_to_seconds(str((secure.getpeercert() or {})["notAfter"])))
    return check_expiry("server certificate", datetime.fromtimestamp(end, UTC), now, _RENEW)


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> CheckResult:
    found = f"the server's certificate is refused: {error.verify_message}"
    if error.verify_code == _EXPIRED:
        mend = f"{_RENEW}. Is this machine's clock right?"
    elif error.verify_code == _TOO_EARLY:
        mend = "set this machine's clock: it is before the certificate's first day"
    elif error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
        mend = f"call it by a name in its certificate, or renew that with --host {host}"
    else:
        mend = f"copy {AUTHORITY} again from where the server's certificate was made"
    return failed("TLS", found, mend)


def _ask(
    secure: ssl.SSLSocket, host: str, port: int, clock: Callable[[], datetime]
) -> Iterator[CheckResult]:
    request = HTTPConnection(host, port)
    request.sock = secure
    try:
        before = clock()
        request.request("GET", "/health")
        answer = request.getresponse()
        middle = before + (clock() - before) / 2
    except (OSError, HTTPException) as error:
        mend = "another service is on this port: correct the port, or the proxy between"
        yield failed("SuperLink", f"no HTTP answer ({error!r})", mend)
        return
    if answer.status != 200:
        mend = "another service, or a proxy, is on this port; a SuperLink says 200 to /health"
        yield failed("SuperLink", f"/health says {answer.status} {answer.reason}", mend)
        return
    yield good("SuperLink", "/health says 200")
    yield _read_clock(answer, middle)


def _read_clock(answer: HTTPResponse, here: datetime) -> CheckResult:
    stated = answer.getheader("Date")
    if stated is None:
        mend = "compare the clocks by hand; a proxy may have taken the header away"
        return warning("clock", "the server states no time", mend)
    there = parsedate_to_datetime(stated) + timedelta(seconds=0.5)
    return check_clock((here - there).total_seconds())


def check_clock(ahead_s: float) -> CheckResult:
    """Judge that this machine's clock is `ahead_s` seconds before the SuperLink's (or behind, < 0).

    A node signs each request with its time; the SuperLink takes it from `EARLIEST_S` to `LATEST_S`.
    """
    way = "ahead of" if ahead_s > 0 else "behind"
    found = f"{abs(ahead_s):.1f} s {way} the SuperLink's; it takes 5 s ahead to 305 s behind"
    mend = "set the clock by NTP, here and at the SuperLink (timedatectl set-ntp true)"
    if not EARLIEST_S < ahead_s < LATEST_S:
        return failed("clock", found, mend)
    close = ahead_s < EARLIEST_S / 2 or ahead_s > LATEST_S - _RESOLUTION_S
    return warning("clock", found, mend) if close else good("clock", found)
