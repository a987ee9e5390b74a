"""Who may not join a fleet is refused, and the log says why: real SuperLinks, real SuperNodes."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dtfl_app.operations import certificates
from tests.support.certificates import make_certificates
from tests.support.fleet import LINK, Fleet, Process, fleet
from tests.support.servers import free_port
from tests.support.site_folder import SiteFolder, make_site_folder

# Of a node that Flower lets try for ever nothing but its tries can be seen.
REASONS = {
    "foreign-authority": "certificate verify failed: unable to get local issuer certificate",
    "expired-certificate": "certificate verify failed: certificate has expired",
    "another-host": "certificate is not valid for '127.0.0.1'",
    "unregistered": "Exit Code: 305",
    "plain-text": "Connection attempt failed, retrying",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SiteFolder:
    return make_site_folder(tmp_path_factory.mktemp("refusal-data"))


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Fleet]]:
    """Three SuperLinks: a sound one, one whose certificate is over, one with another's name."""
    folder = tmp_path_factory.mktemp("refusals")
    make_certificates(folder / "expired" / "certs", ["127.0.0.1"], starts=-9, ends=-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "_LOOPBACK", ())
        make_certificates(folder / "misnamed" / "certs", ["superlink.example"])
    with ExitStack() as stack:
        names = ("sound", "expired", "misnamed")
        made = {name: stack.enter_context(fleet(folder / name)) for name in names}
        for name, one in made.items():
            one.superlink(trusted=name == "sound")
        yield made


@pytest.fixture(scope="module")
def nodes(
    fleets: dict[str, Fleet], data: SiteFolder, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Process]:
    """One node per reason, all of which may not join."""
    sound, other = fleets["sound"], tmp_path_factory.mktemp("foreign") / "certs"
    make_certificates(other, ["127.0.0.1"])
    for site in ("foreign-authority", "plain-text"):
        sound.key(site)
    for one, site in [
        (fleets["expired"], "expired-certificate"),
        (fleets["misnamed"], "another-host"),
        (sound, "unregistered"),
    ]:
        one.key(site, register=False)

    def start(one: Fleet, site: str, **settings: object) -> Process:
        return one.site(site, data.site("north"), data.schema, **settings)

    started = {
        "foreign-authority": start(sound, "foreign-authority", DTFL_CERTS=other),
        "expired-certificate": start(fleets["expired"], "expired-certificate"),
        "another-host": start(fleets["misnamed"], "another-host"),
        "unregistered": start(sound, "unregistered"),
        "plain-text": sound.run(
            "plain",
            [
                "flower-supernode",
                "--insecure",
                "--superlink",
                sound.address,
                "--port",
                str(free_port()),
            ],
            sound.environment(FLWR_HOME=sound.folder / "plain"),
        ),
    }
    for why, process in started.items():
        process.says(REASONS[why], 60)
    return started


@pytest.mark.parametrize("why", [why for why in REASONS if why != "plain-text"])
def test_a_node_that_may_not_join_ends_with_the_reason_in_its_log(
    why: str, nodes: dict[str, Process]
) -> None:
    assert nodes[why].process.wait(30) == 1
    assert REASONS[why] in nodes[why].text
    assert "SuperNode ID" not in nodes[why].text


def test_the_superlink_says_whose_key_it_does_not_know(
    fleets: dict[str, Fleet], nodes: dict[str, Process]
) -> None:
    log = fleets["sound"].folder / "superlink" / "logs" / "superlink.log"

    assert "No SuperNode found with the given public key" in log.read_text()


def test_a_node_in_plain_text_never_gets_in(
    fleets: dict[str, Fleet], nodes: dict[str, Process]
) -> None:
    assert nodes["plain-text"].process.poll() is None
    assert "SuperNode ID" not in nodes["plain-text"].text
    assert "online" not in fleets["sound"].flwr("supernode", "ls", LINK)
