import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import REPOSITORY

DOCKER = REPOSITORY / "docker"
UNITS = sorted((DOCKER / "systemd").glob("*.service"))
NODE = DOCKER / "systemd" / "dtfl-supernode@.service"


def options(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def variables(unit: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in options(unit, "Environment"))


def verify(unit: Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", "--man=no", unit]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path):
    """Copies of the units with DTFL where it is on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    (tmp_path / "dtfl").symlink_to(sys.executable)  # any program will do: it is not started
    for unit in UNITS:
        text = unit.read_text().replace("/opt/dtfl/docker/", f"{DOCKER}/")
        for program in ("/opt/dtfl/.venv/bin/dtfl", "/usr/sbin/nginx"):
            text = text.replace(program, f"{tmp_path}/dtfl")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(installed, unit):
    result = verify(installed / unit.name)

    assert (result.returncode, result.stderr) == (0, "")


def test_systemd_does_find_what_is_wrong(installed):
    broken = installed / "broken.service"
    broken.write_text("[Service]\nExecStart=/no/such/program\nNoNewPriviledges=yes\n")

    result = verify(broken)

    assert result.returncode != 0 or "Unknown key" in result.stderr


def test_there_is_a_unit_for_each_role():
    roles = ["detect@", "proxy", "serverapp", "superlink", "supernode@"]

    assert [unit.name for unit in UNITS] == [f"dtfl-{role}.service" for role in roles]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_shut_in_and_comes_back(unit):
    for name, value in {
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
        "PrivateTmp": "yes", "CapabilityBoundingSet": "", "SystemCallFilter": "@system-service",
    }.items():  # fmt: skip
        assert options(unit, name) == [value], name
    assert options(unit, "StateDirectory")
    assert options(unit, "Restart")[0] in ("always", "on-failure")


def test_every_unit_has_a_user_of_its_own_and_a_site_s_are_for_that_site():
    users = {unit.name.removesuffix(".service"): options(unit, "User") for unit in UNITS}

    assert users == {
        "dtfl-detect@": ["dtfl-detect-%i"],
        "dtfl-proxy": ["dtfl-proxy"],
        "dtfl-serverapp": ["dtfl-serverapp"],
        "dtfl-superlink": ["dtfl-superlink"],
        "dtfl-supernode@": ["dtfl-node-%i"],
    }


def test_what_one_unit_writes_no_other_s_user_reads():
    """A shared group reads nothing (077); without one, a group may read (027)."""
    for unit in UNITS:
        shared = options(unit, "Group") == ["dtfl"]
        mask, mode = ("0077", "0700") if shared else ("0027", "0750")
        assert shared or options(unit, "Group") == options(unit, "User")
        assert (options(unit, "UMask"), options(unit, "StateDirectoryMode")) == ([mask], [mode])


def test_the_superlink_is_behind_the_proxy_and_leaves_runs_code_to_the_other_unit():
    superlink, serverapp = (
        variables(DOCKER / "systemd" / f"dtfl-{role}.service")
        for role in ("superlink", "serverapp")
    )
    way = (DOCKER / "proxy" / "superlink.conf").read_text()
    address = f"{superlink['DTFL_HOST']}:{superlink['DTFL_PORT']}"

    assert superlink["DTFL_HOST"] == "127.0.0.1" and superlink["DTFL_SERVERAPP"] == "apart"
    assert f"proxy_pass https://{address};" in way and serverapp["DTFL_SUPERLINK"] == address


@pytest.mark.parametrize("role", ["superlink", "serverapp", "supernode"])
def test_a_unit_starts_the_script_of_its_role_with_variables_that_it_reads(role):
    (unit,) = [unit for unit in UNITS if role in unit.name]
    script = (DOCKER / f"{role}.sh").read_text()

    assert options(unit, "ExecStart") == [f"/opt/dtfl/docker/{role}.sh"]
    assert [n for n in variables(unit) if n.startswith("DTFL_") and n not in script] == []


def test_state_is_in_the_folder_that_systemd_makes():
    for unit in UNITS:
        (folder,) = options(unit, "StateDirectory")
        assert options(unit, "WorkingDirectory") == [f"/var/lib/{folder}"]
        assert variables(unit).get("DTFL_STATE", f"/var/lib/{folder}") == f"/var/lib/{folder}"


def test_a_node_is_restarted_always_and_after_more_than_the_minute_its_place_is_held():
    assert options(NODE, "Restart") == ["always"]
    assert int(options(NODE, "RestartSec")[0]) > 60
    assert options(NODE, "StartLimitIntervalSec") == ["0"]


def test_the_site_example_completes_what_the_node_needs():
    example = (DOCKER / "systemd" / "site.env.example").read_text()
    given = {*re.findall(r"^(\w+)=", example, re.MULTILINE), *variables(NODE)}
    script = (DOCKER / "supernode.sh").read_text()

    assert set(re.findall(r"^required (\w+)", script, re.MULTILINE)) <= given
    assert options(NODE, "EnvironmentFile") == ["/etc/dtfl/%i.env"]
