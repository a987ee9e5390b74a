"""Settings on their way through Flower's command line."""

import pytest
from flwr.common.config import parse_config_args

from dtfl_app.engine.launch import run_config


@pytest.mark.parametrize(
    "value",
    [
        'file="plant.toml"',
        "network='Net3.inp'",
        "both='a', \"b\"",
        "C:\\plants\\",
        "",
        3,
        0.5,
        True,
    ],
)
def test_every_setting_arrives_as_it_was_given(value):
    settings = {"first": "a b", "twin.options": value, "last": 1}

    assert parse_config_args([run_config(settings)]) == settings
