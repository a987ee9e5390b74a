import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.places import REPOSITORY

DOCKER = REPOSITORY / "docker"
FILE = DOCKER / "compose.yaml"
TEXT = FILE.read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
NODES = {name: service for name, service in SERVICES.items() if name.startswith("site-")}
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE))


def script_of(name: str) -> str:
    if name in ("superlink", "serverapp"):
        return (DOCKER / f"{name}.sh").read_text()
    return (DOCKER / "supernode.sh").read_text() + (DOCKER / "pause-after-exit.sh").read_text()


def mounts(service: dict[str, object]) -> dict[str, tuple[str, bool]]:
    """Where in the container -> what is there, and whether it may be written to."""
    found = {}
    for volume in service["volumes"]:
        source, target, *mode = re.sub(r"\$\{(\w+)[^}]*\}", r"\1", volume).split(":")
        found[target] = (source, mode != ["ro"])
    return found


def test_there_is_one_superlink_with_its_proxy_and_server_side_and_three_sites():
    assert sorted(SERVICES) == ["proxy", "serverapp", "site-a", "site-b", "site-c", "superlink"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_built_from_its_dockerfile(name):
    build = SERVICES[name]["build"]
    context = (DOCKER / build["context"]).resolve()

    assert (context / "pyproject.toml").exists() and (context / build["dockerfile"]).exists()
    arguments = re.findall(r"^ARG (\w+)", (context / build["dockerfile"]).read_text(), re.MULTILINE)
    assert sorted(build.get("args", {})) == arguments


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "proxy"])
def test_a_service_sets_only_variables_that_its_scripts_read(name):
    assert [v for v in SERVICES[name]["environment"] if v not in script_of(name)] == []


def test_every_variable_of_the_file_has_its_default_in_the_example():
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))

    assert len(re.findall(r"\$\{", TEXT)) == len(re.findall(r"\$\{\w+:-", TEXT))
    assert {**used, "COMPOSE_PROJECT_NAME": "dtfl"} == EXAMPLE


@pytest.mark.parametrize("name", NODES)
def test_a_site_has_all_that_its_script_asks_for(name):
    image = (DOCKER / "supernode.Dockerfile").read_text()
    needed = re.findall(r"^required (\w+)", script_of(name), re.MULTILINE)

    given = {*NODES[name]["environment"], *re.findall(r"(DTFL_\w+)=", image)}
    assert needed and set(needed) <= given


@pytest.mark.parametrize("name", NODES)
def test_a_sites_files_are_where_its_variables_say(name):
    environment, found = NODES[name]["environment"], mounts(NODES[name])

    assert environment["DTFL_SITE"] == name
    assert found[environment["DTFL_KEY"]] == (f"DTFL_KEYS_DIR/{name}", False)
    assert found["/certs/ca.crt"] == ("DTFL_CERTS_DIR/ca.crt", False)
    assert found["/data"] == (f"DTFL_DATA_DIR/{name}", False)
    assert Path(environment["DTFL_DATA"]).parent == Path("/data")
    assert Path(environment["DTFL_SCHEMA"]).parent == Path("/data")
    assert found["/state"] == (f"{name}-state", True)


def test_no_service_has_another_s_key_and_nobody_the_authority_s():
    keys = {
        name: {
            source for source, _ in mounts(service).values() if ".key" in source or "KEYS" in source
        }
        for name, service in SERVICES.items()
    }

    assert keys == {
        "proxy": {"DTFL_CERTS_DIR/superlink.key"},
        "superlink": {"DTFL_CERTS_DIR/inside/superlink.key"},
        "serverapp": set(),
        **{name: {f"DTFL_KEYS_DIR/{name}"} for name in NODES},
    }
    assert not [
        source
        for service in SERVICES.values()
        for source, _ in mounts(service).values()
        if "ca.key" in source or source in ("DTFL_CERTS_DIR", "DTFL_CERTS_DIR/inside")
    ]


def test_the_proxy_is_reached_from_outside_and_the_superlink_by_it_and_the_server_side():
    proxy = (DOCKER / "proxy" / "nginx.conf").read_text()

    assert SERVICES["proxy"]["ports"] == ["${DTFL_PORT:-8000}:8000"] and "listen 8000 ssl" in proxy
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert {node["environment"]["DTFL_SUPERLINK"] for node in NODES.values()} == {"proxy:8000"}
    inside = [name for name, service in SERVICES.items() if "inside" in service.get("networks", [])]
    assert inside == ["proxy", "superlink", "serverapp"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_the_superlink_is_where_proxy_and_server_side_look_for_it():
    port = SERVICES["superlink"]["environment"]["DTFL_PORT"]

    assert SERVICES["serverapp"]["environment"]["DTFL_SUPERLINK"] == f"superlink:{port}"
    way = (DOCKER / "proxy" / "superlink-container.conf").read_text()
    assert f"https://superlink:{port};" in way
    assert SERVICES["superlink"]["environment"]["DTFL_SERVERAPP"] == "apart"


def test_a_site_waits_for_a_healthy_proxy():
    for node in NODES.values():
        assert node["depends_on"] == {"proxy": {"condition": "service_healthy"}}


def test_a_site_is_restarted_after_more_than_the_minute_its_place_is_held():
    for node in NODES.values():
        assert node["restart"] == "unless-stopped"
        assert float(node["environment"]["DTFL_RESTART_PAUSE"]) > 60


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_shut_in(name):
    service = SERVICES[name]

    assert service["read_only"] and service["init"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_every_volume_is_declared():
    named = {
        source
        for service in SERVICES.values()
        for source, _ in mounts(service).values()
        if "/" not in source and not source.startswith("DTFL_")
    }

    assert named == set(COMPOSE["volumes"])


def compose_client() -> list[str] | None:
    for client in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(client[0]):
            asked = subprocess.run([*client, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return client
    return None


def test_a_compose_client_reads_the_file():
    client = compose_client()
    if client is None:
        pytest.skip("neither 'docker compose' nor 'docker-compose' is on this machine")
    command = [*client, "-f", FILE, "--env-file", DOCKER / ".env.example", "config"]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert set(yaml.safe_load(result.stdout)["services"]) == set(SERVICES)
