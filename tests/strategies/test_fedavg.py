from dtfl_app.rounds.state import State
from tests.support.line_model import bias, line
from tests.support.workbench import reply, strategy_on


def test_the_next_model_is_the_plain_mean():
    """Biases 1, 2, 6 of sites with 10, 10 and 80 rows: (1 + 2 + 6) / 3 = 3."""
    fedavg = strategy_on("fedavg", round__weighting="uniform")
    replies = [reply("a", line(1)), reply("b", line(2)), reply("c", line(6), examples=80)]

    state = fedavg.update(State(line(0)), replies)

    assert bias(state.model) == 3.0
    assert state.twin is None


def test_sites_weigh_by_their_rows_when_asked_to():
    """(10 * 1 + 10 * 2 + 80 * 6) / 100 = 5.1."""
    fedavg = strategy_on("fedavg", round__weighting="examples")
    replies = [reply("a", line(1)), reply("b", line(2)), reply("c", line(6), examples=80)]

    state = fedavg.update(State(line(0)), replies)

    assert round(bias(state.model), 5) == 5.1


def test_the_model_of_the_last_round_does_not_count():
    fedavg = strategy_on("fedavg")

    first, second = (fedavg.update(State(line(b)), [reply("a", line(2))]) for b in (0, 100))

    assert bias(first.model) == bias(second.model) == 2.0


def test_no_twin_is_needed():
    assert strategy_on("fedavg", twin=None).needs_twin is False
