"""The proxy and the forwarder of docker/proxy, as real processes, with a real SuperLink behind."""

import http.client
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flwr.app import Array
from flwr.common.constant import FAB_MAX_SIZE, FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node
from safetensors.numpy import load_file

from dtfl_app.operations import certificates
from dtfl_app.operations.certificates import (
    Validity,
    issue_operator_certificate,
    read_certificate,
    serial_text,
)
from dtfl_app.operations.connection import check_superlink
from dtfl_app.results.lines import read_lines
from tests.support.certificates import make_certificates
from tests.support.fleet import LINK, fleet, wait_until
from tests.support.proxy import PROXY, Door, open_door, sbin
from tests.support.site_folder import make_site_folder

CONFIGURATION = (PROXY / "nginx.conf").read_text()
#: Bytes of a body that is larger than any bound of the proxy.
LARGE = 20_000_000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with fleet(tmp_path_factory.mktemp("door")) as made:
        opened = open_door(made)
        wait_until(lambda: ask(opened, "GET", "/health")[0] == 200, 30.0, "the proxy answers")
        yield opened


def context(door: Door, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    trust = ssl.create_default_context(cafile=str(door.fleet.certs / "ca.crt"))
    if shown is not None:
        trust.load_cert_chain(*map(str, shown))
    return trust


def ask(
    door: Door,
    method: str,
    path: str,
    shown: tuple[Path, Path] | None = None,
    body: bytes | Iterator[bytes] | None = None,
    port: int | None = None,
) -> tuple[int, str]:
    """Status and text of one request to the proxy; 0 if it hung up over the body before it said."""
    line = http.client.HTTPSConnection(
        "127.0.0.1", port or door.fleet.port, timeout=60, context=context(door, shown)
    )
    try:
        line.request(method, path, body, {"Content-Type": "application/protobuf"})
        answer = line.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (ConnectionError, ssl.SSLError) as error:
        return 0, str(error)
    finally:
        line.close()


def runs(door: Door, shown: tuple[Path, Path] | None) -> tuple[int, str]:
    """Ask for the list of runs, as `flwr ls` does."""
    body = ListRunsRequest().SerializeToString()
    return ask(door, "POST", "/v1/control/list-runs", shown, body)


def test_without_a_certificate_the_control_api_is_refused_and_told_why(door: Door) -> None:
    done = subprocess.run(
        ["flwr", "ls", "bare"], env=door.fleet.operator, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert done.returncode != 0 and "dtfl certificates --operator" in done.stdout + done.stderr
    assert runs(door, None)[0] == 403


def test_an_operator_is_let_in_by_the_certificate_and_written_down(door: Door) -> None:
    assert runs(door, door.operator("anna"))[0] == 200

    log = door.fleet.folder / "nginx" / "state" / "control.log"
    line = 'operator="anna" "POST /v1/control/list-runs HTTP/1.1" 200'
    wait_until(lambda: line in log.read_text(), 30.0, "the request is written down")


def test_the_forwarder_gives_flower_s_command_line_the_certificate(door: Door) -> None:
    assert "[]" in door.fleet.flwr("ls", LINK, "--format", "json").replace(" ", "")


def issued(
    door: Door, folder: Path, unit: str, usage: x509.ObjectIdentifier, days: int = 1
) -> tuple[Path, Path]:
    """A certificate by the federation's authority for anna, of another kind or with another end."""
    now = datetime.now(UTC)
    validity = Validity(now - timedelta(days=9), now + timedelta(days=days))
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, "anna"),
        ]
    )
    files = folder / "other.crt", folder / "other.key"
    extensions = [x509.ExtendedKeyUsage([usage])]
    certificates._issue(door.fleet.certs, files, subject, validity, extensions)
    return files


CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@pytest.mark.parametrize(
    ("unit", "usage", "days", "status"),
    [
        (certificates.OPERATORS, CLIENT, 1, 200),  # the same by this test's own means is let in
        ("DTFL gateways", CLIENT, 1, 403),
        ("DTFL operators,x", CLIENT, 1, 403),
        (certificates.OPERATORS, SERVER, 1, 400),
        (certificates.OPERATORS, CLIENT, -1, 400),
    ],
)
def test_a_certificate_of_another_kind_or_that_has_ended_is_no_operator_s(
    door: Door, tmp_path: Path, unit: str, usage: x509.ObjectIdentifier, days: int, status: int
) -> None:
    assert runs(door, issued(door, tmp_path, unit, usage, days))[0] == status


def test_the_server_s_own_certificate_is_no_operator_s(door: Door) -> None:
    for folder in (door.fleet.certs, door.fleet.certs / "inside"):
        assert runs(door, (folder / "superlink.crt", folder / "superlink.key"))[0] == 400


def test_an_operator_of_another_authority_is_refused(door: Door, tmp_path: Path) -> None:
    other, now = make_certificates(tmp_path / "other"), datetime.now(UTC)
    issue_operator_certificate(other, "anna", Validity(now, now + timedelta(days=1)))

    shown = tuple(other / "operators" / f"anna.{kind}" for kind in ("crt", "key"))
    assert runs(door, shown)[0] == 400


def test_a_certificate_can_be_taken_back_before_its_end(door: Door) -> None:
    shown = door.operator("ben")
    assert runs(door, shown)[0] == 200

    serial = serial_text(read_certificate(shown[0]))
    (door.files / "revoked.map").write_text(f"{serial} 1;\n")
    door.reload()

    wait_until(lambda: runs(door, shown)[0] == 403, 30.0, "ben is refused")
    assert runs(door, door.operator("anna"))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/openapi.json", "/v1/runtime/acquire-task", "/v1/control", "/v2/control/x",
        "/v1/fleet/../control/list-runs", "/v1/fleet/%2e%2e/control/list-runs",
        "/v1/fleet/..%2fcontrol/list-runs", "/v1/fleet/%252e%252e/control/list-runs",
        "//v1/control/list-runs", "/V1/CONTROL/list-runs", "/v1/fleet//../control/list-runs",
        "/v1/fleet/x%23/../../control/list-runs", "/v1/fleet/x?/../../control/list-runs",
    ],
)  # fmt: skip
def test_no_other_path_leads_in(door: Door, path: str) -> None:
    body = ListRunsRequest().SerializeToString()

    assert ask(door, "POST", path, None, body)[0] in (403, 404)


def test_a_gateway_s_doctor_takes_the_proxy_for_the_superlink(door: Door) -> None:
    found = list(check_superlink(door.fleet.address, door.fleet.certs, lambda: datetime.now(UTC)))

    assert {result.verdict for result in found} == {"ok"}, found


def test_a_registered_gateway_joins_without_a_certificate(door: Door, tmp_path: Path) -> None:
    door.fleet.key("site-a")
    for name in ("readings.csv", "site.toml"):
        (tmp_path / name).write_text("not read before the first task")

    node = door.fleet.site("site-a", tmp_path / "readings.csv", tmp_path / "site.toml")

    node.says("SuperNode ID:", 60.0)
    wait_until(
        lambda: "online" in door.fleet.flwr("supernode", "ls", LINK, "--format", "json"),
        60.0, "the node is online",
    )  # fmt: skip
    node.end()


def growth(door: Door, path: str, port: int, whole: bool) -> int:
    """Bytes by which five bodies to a port bring up the peak of what the SuperLink holds."""
    process = Path("/proc") / str(door.superlink.process.pid)  # the script has become Flower's
    (process / "clear_refs").write_text("5")  # the peak is looked for anew from here
    before = peak(process)
    for _ in range(5):
        body = bytes(LARGE) if whole else (bytes(LARGE // 20) for _ in range(20))
        assert ask(door, "POST", path, None, body, port)[0] in (0, 400, 401, 403, 413)
    return peak(process) - before


def peak(process: Path) -> int:
    """Bytes that a process has held at most."""
    return int((process / "status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    "path", ["/v1/fleet/push-object", "/v1/fleet/get-run", "/v1/control/start-run"]
)
@pytest.mark.parametrize("whole", [True, False], ids=["length", "chunks"])
def test_large_bodies_without_credentials_do_not_reach_the_superlink(
    door: Door, path: str, whole: bool
) -> None:
    """One body alone would be 20 MB; idle, the processes differ by less than 1 MB."""
    assert growth(door, path, door.fleet.port, whole) < LARGE // 2


def test_without_the_proxy_they_do(door: Door) -> None:
    assert growth(door, "/v1/fleet/push-object", door.inner, True) > LARGE


def test_the_bounds_let_through_the_largest_that_flower_sends() -> None:
    """A site sends arrays in pieces, an operator the app."""
    bounds = dict.fromkeys(("push-object", "control"), 0)
    for place in bounds:
        after = CONFIGURATION[re.search(rf"location .*/{place}/? ", CONFIGURATION).end() :]
        bounds[place] = int(re.search(r"client_max_body_size (\d+)m", after)[1]) * 2**20

    array = Array(np.zeros(3_000_000))
    largest = max(len(child.deflate()) for child in array.children.values())
    pushed = PushObjectRequest(
        node=Node(node_id=2**63), run_id=2**63, object_id="f" * 64, object_content=bytes(largest)
    )
    assert len(array.children) > 1 and pushed.ByteSize() < bounds["push-object"]
    run = StartRunRequest(fab=Fab(hash_str="f" * 64, content=bytes(FAB_MAX_SIZE)))
    assert run.ByteSize() + 2**16 < bounds["control"]


def test_nginx_takes_the_file_for_containers(door: Door, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for name, source in {"nginx.conf": "nginx", "superlink.conf": "superlink-container"}.items():
        text = (PROXY / f"{source}.conf").read_text()
        (tmp_path / name).write_text(text.replace("/etc/dtfl/proxy", str(door.files)))
    command = ["-t", "-p", str(tmp_path / "state"), "-c", str(tmp_path / "nginx.conf")]

    done = door.fleet.run("test", ["nginx", *command], sbin(door.fleet))

    assert done.process.wait(30) == 0, done.text


def test_one_address_sends_eight_objects_at_a_time(door: Door) -> None:
    begun = b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as held:
        for _ in range(8):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", door.fleet.port), 60))
            line = context(door).wrap_socket(plain, server_hostname="127.0.0.1")
            held.enter_context(line).sendall(begun)

        wait_until(
            lambda: ask(door, "POST", "/v1/fleet/push-object")[0] == 503,
            15.0,
            "the ninth is put off",
        )
        assert ask(door, "GET", "/health")[0] == 200


def test_half_a_request_is_hung_up_on(door: Door) -> None:
    with (
        socket.create_connection(("127.0.0.1", door.fleet.port), 60) as plain,
        context(door).wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(b"POST /v1/fleet/get-run HTTP/1.1\r\nHost: x\r\n")

        assert b"200" not in line.recv(
            1000
        )  # comes to its end: the proxy does not wait for the rest


def test_a_run_is_started_followed_and_stopped_through_forwarder_and_proxy(door: Door) -> None:
    run = door.fleet.submitting("followed", dataset="plants", sites=1, join_timeout=600.0)
    assert run.stdout is not None
    number = next(line for line in run.stdout if "Successfully started run" in line).split()[-1]
    unbuffered = {**door.fleet.operator, "PYTHONUNBUFFERED": "1"}
    log = door.fleet.run("log", ["flwr", "log", number, LINK], unbuffered)
    log.says(
        "Start `flwr-serverapp` process", 120.0
    )  # a line of the run, which waits for a gateway

    assert run.poll() is None and log.process.poll() is None
    door.fleet.flwr("stop", number, LINK)
    run.communicate(timeout=60)
    log.process.wait(60)


def test_a_gateway_trains_through_the_proxy(door: Door, tmp_path: Path) -> None:
    """A layer of 2400 x 600 numbers of 4 bytes is more than Flower's 5 MiB: one object is full."""
    data = make_site_folder(tmp_path)
    door.fleet.key("east")
    node = door.fleet.site("east", data.site("east"), data.schema)
    node.says("SuperNode ID:", 60.0)

    door.fleet.submit(
        "trained", dataset="files", strategy="fedavg", sites=1, rounds=1, join_timeout=60.0,
        trust__names=str(door.fleet.names), data__schema=str(data.schema),
        data__evaluation_file=str(data.evaluation), twin__recording=str(data.recording),
        cache_dir=str(tmp_path / "cache"), detector__hidden=2400, detector__latent=600,
    )  # fmt: skip

    rounds = read_lines(door.fleet.results / "trained" / "metrics.jsonl")
    assert [line.sites for line in rounds] == [0, 1]
    stored = door.fleet.results / "trained" / "models" / "fedavg.safetensors"
    assert max(a.nbytes for a in load_file(stored).values()) > FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
    node.end()
