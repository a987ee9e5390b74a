import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.rounds.state import State
from tests.support.line_model import bias, line
from tests.support.workbench import reply, strategy_on


def test_the_next_model_is_the_plain_mean():
    """(1 + 2 + 6) / 3 = 3."""
    fedprox = strategy_on("fedprox", fedprox__mu=5.0)

    state = fedprox.update(State(line(0)), [reply(f"s{b}", line(b)) for b in (1, 2, 6)])

    assert bias(state.model) == 3.0
    assert state.twin is None


def test_the_sites_are_told_mu_and_sent_nothing_more():
    assert strategy_on("fedprox", fedprox__mu=0.25).site_extras() == ({}, {"proximal.mu": 0.25})


def test_by_default_there_is_a_pull(caplog):
    fedprox = strategy_on("fedprox")

    assert fedprox.settings.mu > 0
    assert caplog.text == ""


def test_without_a_pull_it_says_that_it_is_fedavg(caplog):
    strategy_on("fedprox", fedprox__mu=0.0)

    assert "fedprox: fedprox.mu = 0, so this is FedAvg" in caplog.text


def test_a_push_away_is_refused():
    with pytest.raises(ConfigError, match=r"fedprox.mu = -0.1; expected at least 0"):
        strategy_on("fedprox", fedprox__mu=-0.1)


def test_no_twin_is_needed():
    assert strategy_on("fedprox", twin=None).needs_twin is False
