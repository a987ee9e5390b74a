"""What a site insists on: read from its file, held against a run, and told to the server."""

import pytest

from dtfl_app.client.policy import SitePolicy
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from tests.support.settings import keyed

PRIVATE = {"privacy__dp": True, "privacy__epsilon": 4.0, "privacy__clip": 0.5}


def policy(tmp_path, text: str) -> SitePolicy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return SitePolicy.read(path)


def config(**settings) -> RunConfig:
    return RunConfig.from_mapping(keyed(**settings))


def test_an_empty_policy_asks_for_nothing_but_thirty_readings(tmp_path):
    found = policy(tmp_path, "")

    found.require(config())
    assert found == SitePolicy() and found.least_readings == 30


@pytest.mark.parametrize(
    ("text", "settings", "reason"),
    [
        ("dp = true", {}, "privacy.dp is off, it must be on"),
        ("max-epsilon = 8", {}, "privacy.dp is off, it must be on"),
        ("max-epsilon = 2", PRIVATE, "privacy.epsilon = 4, it may be 2 at most"),
        ("max-clip = 0.1", PRIVATE, "privacy.clip = 0.5, it may be 0.1 at most"),
        ('strategies = ["cwa"]', {"strategy": "cwa,lpe,fpf"}, "strategy = lpe, fpf, allowed: cwa"),
        (
            'evidence = ["smoothed"]',
            {"detector__evidence": "smoothed,instant"},
            "detector.evidence = instant, allowed: smoothed",
        ),
    ],
)
def test_a_run_that_asks_for_more_is_refused_with_the_reason(tmp_path, text, settings, reason):
    with pytest.raises(ConfigError, match="the site's policy refuses this run") as told:
        policy(tmp_path, text).require(config(**settings))

    assert reason in str(told.value)


def test_a_run_within_the_policy_is_taken_part_in(tmp_path):
    text = 'dp = true\nmax-epsilon = 4.0\nmax-clip = 0.5\nstrategies = ["cwa", "lpe"]\n'

    policy(tmp_path, text).require(config(**PRIVATE, strategy="lpe, cwa"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("dp = 1", "dp = 1; expected true or false"),
        ("max-epsilon = 0", "max-epsilon = 0; expected a number above 0"),
        ("max-clip = true", "max-clip = True; expected a number above 0"),
        ("strategies = 'cwa'", "strategies = 'cwa'; expected names"),
        ("strategies = []", r"strategies = \[\]; expected names"),
        ("least-readings = 0", "least-readings = 0; expected a whole number"),
        ("epsilon = 2", r"unknown keys \['epsilon'\]"),
        ("dp =", "not a TOML file"),
    ],
)
def test_a_policy_that_is_none_says_what_is_wrong_with_it(tmp_path, text, what):
    with pytest.raises(ConfigError, match=what):
        policy(tmp_path, text)
