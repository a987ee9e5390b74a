import os
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from dtfl_app.operations.machine import (
    check_disk,
    check_memory,
    check_port,
    check_state_folder,
    check_versions,
)
from tests.support.servers import free_port


def install(folder: Path, name: str, version: str, *lines: str) -> None:
    """Put a package's metadata where Python looks for installed packages."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]
    (about / "METADATA").write_text("\n".join(head) + "\n")


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_this_installation_fits():
    assert {f.check: f.verdict for f in check_versions()} == {"python": "ok", "packages": "ok"}


def test_another_version_of_flower_fails_and_is_named(site_packages):
    install(site_packages, "flwr", "1.42.0")

    found = check_versions()[1]

    assert found.verdict == "failed" and "flwr is 1.42.0, wanted ==1.41.0" in found.found


def test_a_missing_package_fails_and_is_named(site_packages):
    install(site_packages, "plant", "1.0", "Requires-Dist: no-such-package>=2")

    assert "no-such-package is missing" in check_versions("plant")[1].found


def test_extras_are_not_asked_for_and_a_local_label_is_no_other_version(site_packages):
    install(site_packages, "built", "2.13.0+cpu")
    install(
        site_packages, "plant", "1.0",
        "Requires-Dist: built==2.13.0", 'Requires-Dist: absent; extra == "dev"',
    )  # fmt: skip

    assert check_versions("plant")[1].verdict == "ok"


def test_an_older_python_than_wanted_fails(site_packages):
    install(site_packages, "plant", "1.0", "Requires-Python: >=3.99")

    found = check_versions("plant")[0]

    assert found.verdict == "failed" and "wanted >=3.99" in found.found


def test_a_package_that_is_not_installed_fails():
    (found,) = check_versions("no-such-package")

    assert found.verdict == "failed" and "pip install" in found.mend


def test_a_state_folder_passes_also_before_it_is_made(tmp_path):
    assert check_state_folder(tmp_path).verdict == "ok"
    assert "can be made" in check_state_folder(tmp_path / "a" / "b").found
    assert not list(tmp_path.iterdir())


def test_a_state_folder_below_a_file_fails(tmp_path):
    (tmp_path / "file").write_text("")

    assert check_state_folder(tmp_path / "file" / "state").verdict == "failed"


@contextmanager
def common_user():
    """Root may do everything: take the rights of nobody for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_read_only_folder_fails(tmp_path):
    tmp_path.chmod(0o500)
    with common_user():
        assert check_state_folder(tmp_path / "state").verdict == "failed"


@pytest.mark.parametrize("check", [check_state_folder, check_disk])
def test_a_folder_behind_a_locked_one_fails(tmp_path, check):
    (tmp_path / "locked").mkdir(mode=0)
    with common_user():
        assert check(tmp_path / "locked" / "state").verdict == "failed"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc takes no files, not even root's")
def test_a_folder_where_nobody_can_write_fails():
    assert check_state_folder(Path("/proc/self/dtfl")).verdict == "failed"


def test_disk_and_memory_are_compared_with_what_is_needed(tmp_path):
    assert check_disk(tmp_path / "state").verdict in ("ok", "warning")
    assert check_disk(tmp_path, least_mb=1e12).verdict == "failed"
    assert check_memory(least_mb=1).verdict in ("ok", "warning")
    assert check_memory(least_mb=1e12).verdict == "failed"


def test_a_port_is_free_until_somebody_listens():
    port = free_port()
    assert check_port("127.0.0.1", port, "DTFL_PORT").verdict == "ok"
    with socket.create_server(("127.0.0.1", port)):
        found = check_port("127.0.0.1", port, "DTFL_PORT")
    assert found.verdict == "failed" and "a process listens there" in found.mend


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 8000), ("127.0.0.1", 99999)])
def test_an_address_of_another_machine_and_a_port_that_is_none_fail(host, port):
    assert check_port(host, port, "DTFL_PORT").verdict == "failed"
