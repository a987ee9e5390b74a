"""No container engine is needed: the Dockerfiles are linted, and held against what they name."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.places import REPOSITORY
from tests.support.servers import free_port, serve

DOCKER = REPOSITORY / "docker"
IMAGES = sorted(DOCKER.glob("*.Dockerfile"))
SERVICES = [DOCKER / "superlink.Dockerfile", DOCKER / "supernode.Dockerfile"]
HADOLINT = Path(sys.executable).parent / "hadolint"


def instructions(dockerfile: Path, name: str) -> list[str]:
    """Arguments of each instruction `name`, continued lines joined."""
    text = dockerfile.read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", text, flags=re.MULTILINE)


def copied(dockerfile: Path) -> list[str]:
    """Paths of the build context that a Dockerfile copies."""
    return [
        path
        for line in instructions(dockerfile, "COPY")
        for path in line.split()[:-1]
        if not path.startswith("--")
    ]


def test_there_is_an_image_for_each_role():
    assert [path.stem for path in IMAGES] == ["detect", "proxy", "superlink", "supernode"]


@pytest.mark.parametrize("dockerfile", IMAGES, ids=lambda path: path.stem)
def test_hadolint_finds_nothing(dockerfile):
    command = [HADOLINT, "--no-color", "--failure-threshold", "style", dockerfile]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_hadolint_does_find_what_is_wrong(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python:latest\n")

    command = [HADOLINT, tmp_path / "Dockerfile"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("dockerfile", IMAGES, ids=lambda path: path.stem)
def test_what_an_image_copies_is_there_and_reaches_the_engine(dockerfile):
    let_in = [
        line[1:] for line in (REPOSITORY / ".dockerignore").read_text().split() if line[0] == "!"
    ]
    for path in copied(dockerfile):
        assert any(fnmatch(path, pattern) for pattern in let_in), path
        assert (REPOSITORY / path).exists(), path


def test_nothing_else_reaches_the_engine():
    rules = (REPOSITORY / ".dockerignore").read_text().split("\n")

    assert rules[1] == "*"
    assert not any(fnmatch("certs/ca.key", r[1:]) for r in rules if r.startswith("!"))


@pytest.mark.parametrize("dockerfile", IMAGES, ids=lambda path: path.stem)
def test_an_image_has_a_pinned_base_and_runs_as_flowers_user(dockerfile):
    (base,) = instructions(dockerfile, "FROM")

    assert re.search(r":\d+\.\d+", base)
    assert instructions(dockerfile, "USER")[-1] == "49999"


@pytest.mark.parametrize("dockerfile", SERVICES, ids=lambda path: path.stem)
def test_a_service_is_flowers_image_of_the_installed_version_with_the_start_script(dockerfile):
    (base,) = instructions(dockerfile, "FROM")
    (entry,) = instructions(dockerfile, "ENTRYPOINT")

    assert base.startswith(f"flwr/{dockerfile.stem}:{version('flwr')}-py")
    assert f'"/opt/dtfl/docker/{dockerfile.stem}.sh"]' in entry
    assert f'"{dockerfile.stem}"]' in dockerfile.read_text().partition("HEALTHCHECK")[2]


@pytest.mark.parametrize("dockerfile", SERVICES, ids=lambda path: path.stem)
def test_torch_comes_from_the_cpu_index_in_the_tested_version(dockerfile):
    (argument,) = instructions(dockerfile, "ARG")
    (torch,) = re.findall(
        r"^torch==.*$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE
    )

    assert argument == "TORCH_INDEX=https://download.pytorch.org/whl/cpu"
    assert torch == f"torch=={version('torch').partition('+')[0]}"
    assert '--no-deps --index-url "$TORCH_INDEX"' in dockerfile.read_text()


@pytest.mark.parametrize("dockerfile", SERVICES, ids=lambda path: path.stem)
def test_a_service_sets_only_variables_that_its_script_reads(dockerfile):
    script = (DOCKER / f"{dockerfile.stem}.sh").read_text()
    names = re.findall(r"(DTFL_\w+)=", " ".join(instructions(dockerfile, "ENV")))

    assert names and all(name in script for name in names)


def health(role: str, **variables: object) -> int:
    environment = {name: str(value) for name, value in variables.items()}
    command = [sys.executable, DOCKER / "health.py", role]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_a_superlink_is_healthy_when_it_answers_over_tls(certs):
    with serve(certs) as port:
        assert health("superlink", DTFL_CERTS=certs, DTFL_PORT=port) == 0
    assert health("superlink", DTFL_CERTS=certs, DTFL_PORT=free_port()) == 1


def test_a_supernode_is_healthy_when_its_local_port_answers():
    with serve(None) as port:
        assert health("supernode", DTFL_NODE_PORT=port) == 0
    with serve(None, status=503) as port:
        assert health("supernode", DTFL_NODE_PORT=port) == 1
