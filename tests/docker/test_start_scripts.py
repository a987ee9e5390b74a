import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flwr.common.config import parse_config_args
from flwr.supercore.cli.flower_superexec import _parse_args as _parse_args_superexec
from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink
from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

from tests.support.places import REPOSITORY

DOCKER = REPOSITORY / "docker"

#: Stands where the Flower command would be and writes down how it was called.
RECORDER = """#!/bin/sh
for argument; do printf '%s\\0' "$argument"; done >"$RECORD"
env -0 >"$RECORD.env"
"""


class Script:
    """A start script with the variables it needs, and Flower's commands replaced by a recorder."""

    def __init__(self, name: str, folder: Path, variables: dict[str, str]) -> None:
        self.name, self.variables, self.record = name, variables, folder / "called"
        for command in ("flower-superlink", "flower-supernode", "flower-superexec"):
            (folder / command).write_text(RECORDER)
            (folder / command).chmod(0o755)
        if not (folder / "python").exists():
            (folder / "python").symlink_to(sys.executable)
        self.base = {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(self.record)}

    def run(self, **changed: str | None) -> subprocess.CompletedProcess[str]:
        chosen = {k: v for k, v in {**self.variables, **changed}.items() if v is not None}
        return subprocess.run(
            [DOCKER / self.name], env={**self.base, **chosen}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    def arguments(self) -> list[str]:
        return self.record.read_text().split("\0")[:-1]

    def environment(self) -> dict[str, str]:
        lines = self.record.with_name("called.env").read_text().split("\0")[:-1]
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def superlink(certs, tmp_path):
    variables = {"DTFL_CERTS": str(certs), "DTFL_STATE": str(tmp_path / "state")}
    return Script("superlink.sh", tmp_path, variables)


@pytest.fixture
def serverapp(certs, tmp_path):
    variables = {"DTFL_CERTS": str(certs), "DTFL_STATE": str(tmp_path / "state")}
    return Script("serverapp.sh", tmp_path, variables)


@pytest.fixture
def supernode(certs, tmp_path):
    for name in ("key", "my data.csv", "site.toml"):
        (tmp_path / name).write_text("x")
    variables = {
        "DTFL_SUPERLINK": "superlink.example:8000",
        "DTFL_CERTS": str(certs),
        "DTFL_KEY": str(tmp_path / "key"),
        "DTFL_SITE": "site-a",
        "DTFL_DATA": str(tmp_path / "my data.csv"),
        "DTFL_SCHEMA": str(tmp_path / "site.toml"),
        "DTFL_STATE": str(tmp_path / "state"),
    }
    return Script("supernode.sh", tmp_path, variables)


def test_the_superlink_is_called_as_flower_understands_it(superlink, certs, tmp_path):
    assert superlink.run(DTFL_HEALTH="127.0.0.1:8090").returncode == 0

    found = _parse_args_run_superlink().parse_args(superlink.arguments())
    assert (found.host, found.port) == ("0.0.0.0", 8000)
    assert found.enable_supernode_auth and not found.insecure
    assert not found.runtime_dependency_install
    assert found.ssl_keyfile == str(certs / "superlink.key")
    assert found.database == str(tmp_path / "state" / "state.db")
    assert found.log_file == str(tmp_path / "state" / "logs" / "superlink.log")
    assert found.log_rotation_backup_count == 14
    assert found.health_server_address == "127.0.0.1:8090"


def test_runs_code_on_the_server_is_started_by_the_superlink_or_apart_from_it(
    superlink, serverapp, certs
):
    for where, mode in {"inside": "subprocess", "apart": "process"}.items():
        assert superlink.run(DTFL_SERVERAPP=where).returncode == 0
        assert _parse_args_run_superlink().parse_args(superlink.arguments()).isolation == mode

    assert serverapp.run(DTFL_SUPERLINK="127.0.0.1:8001").returncode == 0
    found = _parse_args_superexec().parse_args(serverapp.arguments())
    assert (found.runtime_api_address, found.insecure) == ("127.0.0.1:8001", False)
    assert found.root_certificates == str(certs / "ca.crt")
    assert not found.runtime_dependency_install


def test_the_supernode_is_called_as_flower_understands_it(supernode, certs, tmp_path):
    extra = 'twin.plant="/data/plant.json" n=3'
    assert supernode.run(DTFL_NODE_PORT="9100", DTFL_NODE_CONFIG=extra).returncode == 0

    found = _parse_args_run_supernode().parse_args(supernode.arguments())
    assert (found.superlink, found.host, found.port) == (
        "superlink.example:8000", "127.0.0.1", 9100,
    )  # fmt: skip
    assert not found.insecure and found.root_certificates == str(certs / "ca.crt")
    assert found.auth_supernode_private_key == str(tmp_path / "key")
    assert parse_config_args([found.node_config]) == {
        "site-name": "site-a",
        "data-path": str(tmp_path / "my data.csv"),
        "data.schema": str(tmp_path / "site.toml"),
        "state.dir": str(tmp_path / "state" / "site"),
        "twin.plant": "/data/plant.json",
        "n": 3,
    }


@pytest.mark.parametrize("name", ["Grünau 2", 'say "a"', "it's", "a=b c=d", "back\\slash", "$HOME"])
def test_a_name_reaches_flower_as_it_is(supernode, name):
    assert supernode.run(DTFL_SITE=name).returncode == 0

    found = _parse_args_run_supernode().parse_args(supernode.arguments())
    assert parse_config_args([found.node_config])["site-name"] == name


@pytest.mark.parametrize("name", ["superlink", "serverapp", "supernode"])
def test_apps_of_an_earlier_start_are_copied_anew_but_not_those_of_a_home_of_ones_own(
    name, request, tmp_path
):
    script = request.getfixturevalue(name)
    default, own = tmp_path / "state" / "flower", tmp_path / "own"
    for home in (default, own):
        (home / "apps" / "half").mkdir(parents=True)

    assert script.run().returncode == 0
    assert script.run(FLWR_HOME=str(own)).returncode == 0

    assert not (default / "apps").exists()
    assert (own / "apps" / "half").is_dir()


def test_tasks_are_handed_to_the_process_that_waits_unless_that_is_off(supernode, tmp_path):
    def clientapp():
        return shutil.which("flwr-clientapp", path=supernode.environment()["PATH"])

    assert supernode.run().returncode == 0
    assert clientapp() == str(DOCKER / "warm" / "flwr-clientapp")
    assert supernode.environment()["DTFL_WARM"] == str(tmp_path / "state" / "warm")
    assert supernode.environment()["DTFL_PYTHON"] == str(tmp_path / "python")

    assert supernode.run(DTFL_WARM="off").returncode == 0
    assert clientapp() != str(DOCKER / "warm" / "flwr-clientapp")


def test_without_a_python_beside_flower_the_warm_start_is_refused_in_one_line(supernode, tmp_path):
    (tmp_path / "python").unlink()

    done = supernode.run()

    assert done.returncode == 2
    assert "python is missing" in done.stderr and "DTFL_WARM=off" in done.stderr


@pytest.mark.parametrize("name", ["both ' and \"", "' and \\", "two\nlines"])
def test_a_name_that_cannot_be_quoted_is_refused(supernode, name):
    result = supernode.run(DTFL_SITE=name)

    assert result.returncode == 2 and "DTFL_SITE" in result.stderr
    assert not supernode.record.exists()


@pytest.mark.parametrize("fixture", ["superlink", "serverapp", "supernode"])
def test_flower_installs_nothing_and_calls_nobody(fixture, request, tmp_path):
    script = request.getfixturevalue(fixture)
    script.run()

    environment = script.environment()
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_SUPEREXEC_TASK_POLL_INTERVAL"] == "0.1"
    assert environment["FLWR_HOME"] == str(tmp_path / "state" / "flower")


@pytest.mark.parametrize(
    ("fixture", "missing"),
    [
        *[("superlink", name) for name in ("DTFL_CERTS", "DTFL_STATE")],
        *[("serverapp", name) for name in ("DTFL_CERTS", "DTFL_STATE")],
        *[("supernode", f"DTFL_{name}") for name in (
            "SUPERLINK", "CERTS", "KEY", "SITE", "DATA", "SCHEMA", "STATE",
        )],
    ],
)  # fmt: skip
def test_a_missing_variable_is_one_line_and_exit_code_2(fixture, missing, request):
    result = request.getfixturevalue(fixture).run(**{missing: None})

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and f"{missing} is not set; expected" in result.stderr


@pytest.mark.parametrize(
    ("fixture", "variable", "value", "message"),
    [
        ("superlink", "DTFL_CERTS", "/nowhere", "ca.crt cannot be read"),
        ("superlink", "DTFL_SERVERAPP", "away", "expected inside or apart"),
        ("serverapp", "DTFL_CERTS", "/nowhere", "ca.crt cannot be read"),
        ("serverapp", "DTFL_STATE", "/proc/self/dtfl", "cannot be written to"),
        ("superlink", "DTFL_PORT", "http", "expected a whole number"),
        ("superlink", "DTFL_LOG_KEEP", "all", "expected a whole number"),
        ("superlink", "DTFL_STATE", "/proc/self/dtfl", "cannot be written to"),
        ("superlink", "DTFL_LOGS", "/proc/self/dtfl", "cannot be written to"),
        ("supernode", "DTFL_SUPERLINK", "https://a:1", "expected host:port"),
        ("supernode", "DTFL_SUPERLINK", "superlink.example", "expected host:port"),
        ("supernode", "DTFL_NODE_PORT", "", None),
        ("supernode", "DTFL_NODE_PORT", "9094x", "expected a whole number"),
        ("supernode", "DTFL_CERTS", "/nowhere", "no file"),
        ("supernode", "DTFL_KEY", "/nowhere", "no file"),
        ("supernode", "DTFL_DATA", "readings.csv", "expected a path from the root"),
        ("supernode", "DTFL_DATA", "/nowhere.csv", "no file"),
        ("supernode", "DTFL_STATE", "/proc/self/dtfl", "cannot be written to"),
    ],
)
def test_a_wrong_value_is_named(fixture, variable, value, message, request):
    result = request.getfixturevalue(fixture).run(**{variable: value})

    if message is None:  # empty is as not set: the default
        assert result.returncode == 0
    else:
        assert result.returncode == 2 and message in result.stderr


def test_without_flower_on_path_the_message_says_so(superlink):
    superlink.base["PATH"] = "/usr/bin:/bin"

    result = superlink.run()

    assert result.returncode == 2 and "not on PATH" in result.stderr


def paused(command: str, pause: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DTFL_RESTART_PAUSE": pause}
    return subprocess.Popen(
        [DOCKER / "pause-after-exit.sh", "sh", "-c", command], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_ends_by_itself_is_followed_by_a_pause_and_its_code_kept(code):
    start = time.monotonic()
    process = paused(f"exit {code}", "1")
    _, said = process.communicate(timeout=20)

    assert process.returncode == code and time.monotonic() - start > 1
    assert f"ended with code {code}; waiting 1 s" in said


def test_asked_to_stop_the_command_is_asked_too_and_no_pause_follows():
    process = paused("trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.02; done", "60")
    assert process.stdout is not None and process.stdout.readline() == "on\n"

    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)

    assert (process.returncode, said) == (0, "bye\n")


def test_asked_to_stop_in_the_pause_it_stops():
    process = paused("exit 1", "60")
    assert process.stderr is not None and "waiting 60 s" in process.stderr.readline()

    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=20)
    assert process.returncode == 1
