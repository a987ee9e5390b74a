import json
from pathlib import Path

import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.renamed import RENAMED, modern, refuse_old
from dtfl_app.strategies.registry import default_settings

# Every key of version 0.1 that stood in its one table, as its config.json had them.
OLD = json.loads(Path(__file__).with_name("keys_of_0_1.json").read_text())


def test_every_key_of_0_1_is_still_a_key_or_has_a_new_name():
    known = {**RunConfig.from_mapping({}).to_mapping(), **default_settings()}

    assert set(modern(OLD)) <= set(known)
    assert set(RENAMED) == set(OLD) - set(known)


@pytest.mark.parametrize(
    ("key", "value", "now"),
    [
        ("twin-steps", 5, "twin-steps is now twin.steps; write twin.steps=5"),
        ("dp-clip", 0.5, "dp-clip is now privacy.clip; write privacy.clip=0.5"),
        ("clip", 8.0, "clip is now data.clip; write data.clip=8.0"),
        ("twin", "none", 'twin is now twin.kind; write twin.kind="none"'),
        ("dp", True, "dp is now privacy.dp; write privacy.dp=true"),
        (
            "data.protocol",
            "unseen-attacks",
            "data.protocol: 'unseen-attacks' is now 'unseen-events'; "
            'write data.protocol="unseen-events"',
        ),
    ],
)
def test_an_old_key_or_value_is_refused_with_the_new_one(key, value, now):
    with pytest.raises(ConfigError) as raised:
        RunConfig.from_mapping({key: value})

    assert now in str(raised.value)


def test_a_node_config_is_told_so_too():
    with pytest.raises(ConfigError, match=r"node config: state-dir is now state\.dir"):
        refuse_old({"state-dir": "/data"}, "node config")


def test_a_stored_run_of_0_1_is_read_as_it_was_meant():
    config = RunConfig.from_mapping(modern({**OLD, "twin-steps": 7, "kd-lambda": 0.25}))

    assert config.twin.steps == 7
    assert OLD["protocol"] == "unseen-attacks"
    assert config.data.protocol == "unseen-events"
    assert config.extra["dtkd.lambda"] == 0.25
