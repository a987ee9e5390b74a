"""The rule of fading_twin.py, on numbers that can be followed by hand."""

import numpy as np
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.state import Agreement, State
from dtfl_app.rounds.workbench import Workbench
from dtfl_app.strategies.registry import create_strategy
from dtfl_app.testing.strategies import check_strategy

NAME = "fading_twin:FadingTwin"


class Four:
    """A twin that teaches every parameter to be 4."""

    def train(self, params):
        return {key: np.full_like(value, 4.0) for key, value in params.items()}


def made(options="", twin=None):
    config = RunConfig.from_mapping({"strategy": NAME, "strategy-options": options})
    return create_strategy(NAME, Workbench(config, nodes={}, agreement=Agreement(), twin=twin))


def reply(site, value):
    params = {"w": np.array([value], dtype=np.float32)}
    return Reply(site, params, examples=10, loss=1.0, steps=1, sketches=(), payload=0)


def test_it_keeps_all_that_the_app_promises_of_a_strategy(tmp_path):
    check_strategy(NAME, tmp_path)


def test_the_twin_s_share_halves_every_half_life():
    """The mean of 0 and 2 is 1; after one half-life of 2 rounds ``0.5 * 4 + 0.5 * 1`` is 2.5."""
    strategy = made("half-life=2.0", Four())
    strategy.server_round = 2

    state = strategy.update(State(model={}), [reply("a", 0.0), reply("b", 2.0)])

    assert state.model["w"] == pytest.approx([2.5])


def test_a_slip_in_its_options_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'half-life'"):
        made("half-live=2.0", Four())


def test_it_needs_a_twin():
    with pytest.raises(ConfigError, match="needs a digital twin"):
        made()
