"""Small servers on 127.0.0.1 that stand where a SuperLink should."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    status, ahead = 200, timedelta(0)

    def do_GET(self) -> None:
        self.send_response_only(self.status)
        self.send_header("Date", format_datetime(datetime.now(UTC) + self.ahead, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that refuses the certificate is what is tested."""


@contextmanager
def serve(
    certs: Path | None, status: int = 200, ahead_s: float = 0, host: str = "127.0.0.1"
) -> Iterator[int]:
    """Answer GET on the port given, over TLS by `certs`, with a clock `ahead_s` seconds ahead."""
    handler = type("Handler", (_Handler,), {"status": status, "ahead": timedelta(seconds=ahead_s)})
    server = _Server((host, 0), handler)
    if certs is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certs / "superlink.crt", certs / "superlink.key")
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def handshake(certs: Path, authority: Path, name: str) -> str:
    """Connect to a server with `certs` as `name` sees it; return the TLS version agreed on."""
    with serve(certs) as port, socket.create_connection(("127.0.0.1", port), 5) as plain:
        context = ssl.create_default_context(cafile=str(authority))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with context.wrap_socket(plain, server_hostname=name) as secure, suppress(OSError):
            return str(secure.version())
    raise AssertionError("no connection")
