"""Quorum, deadline, late and returning sites, with sites that learn by arithmetic.

Site p adds p + 1 to the bias, so three sites and FedAvg add (1 + 2 + 3) / 3 = 2 a round.
"""

import pytest
from flwr.app import Message

from dtfl_app.core.errors import FederationError, ReplyError
from tests.support.federation import Federation
from tests.support.line_model import LAST, bias, line
from tests.support.scripted_site import scripted_site


def told(federation, kind):
    """(round, site) of all events of one kind."""
    return [(e.round, e.site) for e in federation.events if e.kind == kind]


def failing_at_first(times: int, *places: int):
    """The scripted site, but the sites `places` fail on each of their first `times` tasks."""
    seen = dict.fromkeys(places, 0)

    def handler(message, context):
        place = context.node_config["partition-id"]
        if message.metadata.message_type == "train" and seen.get(place, times) < times:
            seen[place] += 1
            raise RuntimeError("not yet")
        return scripted_site(message, context)

    return handler


def test_a_round_below_its_quorum_asks_the_missing_sites_again():
    """Two of three fail once; the one that answered is not asked twice."""
    federation = Federation(handler=failing_at_first(1, 0, 1), round__quorum=1.0)

    federation.run(rounds=1)

    assert federation.sites_asked() == [["site-0", "site-1", "site-2", "site-0", "site-1"]]
    assert bias(federation.strategy.state.model) == 2.0
    assert [(line.sites, line.refused) for line in federation.lines[1:]] == [(3, 0)]
    assert told(federation, "repeated") == [(1, "")]


def test_a_round_at_its_quorum_is_not_repeated():
    federation = Federation(handler=failing_at_first(1, 0), round__quorum=0.6)

    federation.run(rounds=1)

    assert [(line.sites, line.refused) for line in federation.lines[1:]] == [(2, 1)]
    assert told(federation, "repeated") == []


def test_after_the_last_repeat_the_run_ends_with_what_it_had():
    """Round 1 is complete, in round 2 only one of three answers, four times."""

    def handler(message, context):
        task = message.content.config_records["task"]
        if task["server-round"] == 2 and context.node_config["partition-id"] > 0:
            raise RuntimeError("gone")
        return scripted_site(message, context)

    federation = Federation(handler=handler, round__retries=3, checkpoint_every=50)

    with pytest.raises(FederationError, match=r"1 of 3 sites.*4 attempts.*goes on after round 1"):
        federation.run(rounds=5)

    assert [s.round for s in federation.snapshots] == [0, 1]
    assert bias(federation.strategy.state.model) == 2.0


def test_a_site_that_does_not_answer_is_not_asked_again():
    federation = Federation(silent={1})

    federation.run(rounds=3)

    assert federation.sites_asked() == [["site-0", "site-2"]] * 3
    assert told(federation, "refused") == [(1, "site-1")]
    assert [line.refused for line in federation.lines[1:]] == [1, 1, 1]


def test_a_late_reply_is_dropped_by_default_and_the_site_asked_again():
    """Site 1 answers round 1 in round 2, when it is busy, and is asked again in round 3.

    Sites 0 and 2 add (1 + 3) / 2 = 2 a round whether or not site 1 adds its 2.
    """
    federation = Federation(tardy={1})

    federation.run(rounds=3)

    assert bias(federation.strategy.state.model) == 6.0
    assert [line.sites for line in federation.lines[1:]] == [2, 2, 2]
    reasons = [e.reason for e in federation.events if e.site == "site-1"]
    assert reasons[1] == "late: answers round 1, this is round 2; dropped"


def test_a_late_reply_counts_less_when_discounted():
    """Round 1: sites 0 and 2, mean 2. Round 2: their 3 and 5, and site 1's 2, one round late.

    Weights 1, 1 and (1 + 1)^-1 = 1/2: (3 + 5 + 2/2) / 2.5 = 3.6.
    """
    federation = Federation(tardy={1}, round__late="discount", round__late_exponent=1.0)

    federation.run(rounds=2)

    assert bias(federation.strategy.state.model) == pytest.approx(3.6)
    assert [line.sites for line in federation.lines[1:]] == [2, 3]
    assert told(federation, "late") == [(1, "site-1")]


def test_scores_of_a_late_reply_calibrate_nothing():
    """They belong to an older model: the threshold of the model of round 1, 2.0, is its own."""
    federation = Federation(accuracy=lambda b: 0.5, tardy={1}, round__late="discount")

    federation.run(rounds=2)

    assert federation.judged[1] == (2.0, 2.0)


def test_a_late_reply_with_other_layers_is_dropped():
    """LPE's adaptive map asks for other layers in round 2 than in round 1."""
    federation = Federation(tardy={1}, round__late="discount")
    federation.strategy.upload_keys = lambda number: [sorted(line(0))[number], LAST]
    federation.strategy.update = lambda state, replies: state

    federation.run(rounds=2)

    assert "its layers are not this round's" in [e.reason for e in federation.events][-1]


def leaving(federation, site: str, rounds: range):
    """Let the node of `site` be connected but for `rounds`; afterwards it is as it was."""
    grid = federation.grid
    node = next(n for n, s in federation.bench.nodes.items() if s == site)
    everyone = list(grid.contexts)
    draw = federation.strategy.draw

    def drawn(server_round):
        online = [n for n in everyone if server_round not in rounds or n != node]
        grid.get_node_ids = lambda: online
        return draw(server_round)

    federation.strategy.draw = drawn


def test_a_lost_site_is_waited_for_in_no_round_and_rejoins():
    federation = Federation()
    leaving(federation, "site-1", range(2, 4))

    federation.run(rounds=4)

    both, all_three = ["site-0", "site-2"], ["site-0", "site-1", "site-2"]
    assert federation.sites_asked() == [all_three, both, both, all_three]
    assert told(federation, "away") == [(2, "site-1")]
    assert told(federation, "returned") == [(4, "site-1")]


@pytest.mark.parametrize(
    ("says", "asked", "kind", "reason"),
    [
        ("site-1", ["site-0", "site-1", "site-2"], "returned", "with a new node id"),
        ("site-9", ["site-0", "site-2"], "refused", "did not enrol"),
        ("site-0", ["site-0", "site-2"], "refused", "connected already"),
        (ReplyError("no name"), ["site-0", "site-2"], "refused", "no name"),
    ],
)
def test_an_unknown_node_is_asked_who_it_is(says, asked, kind, reason):
    """From round 2 on the node of site-1 is gone and another one is there."""
    federation = Federation()
    grid, strategy = federation.grid, federation.strategy
    old = next(n for n, s in federation.bench.nodes.items() if s == "site-1")

    def identify(profile):
        if isinstance(says, ReplyError):
            raise says
        return says

    object.__setattr__(federation.bench, "identify", identify)
    draw = strategy.draw

    def drawn(server_round):
        if server_round == 2 and old in grid.contexts:
            grid.contexts[4711] = grid.contexts.pop(old)
        return draw(server_round)

    strategy.draw = drawn
    grid.handler = profile_or(grid.handler)

    federation.run(rounds=3)

    assert federation.sites_asked()[2] == asked
    (event,) = [e for e in federation.events if e.kind == kind]
    assert reason in event.reason


def profile_or(handler):
    """Answer a profile query with nothing, all else by `handler`."""

    def answer(message, context):
        if message.metadata.message_type == "query.profile":
            return Message(message.content, reply_to=message)
        return handler(message, context)

    return answer


def test_a_run_without_checkpoints_does_not_promise_to_go_on():
    federation = Federation(failing={0, 1, 2}, checkpoint_every=0)

    with pytest.raises(FederationError, match=r"no checkpoint .* must be started anew"):
        federation.run(rounds=2)


def test_a_site_whose_answer_is_long_due_is_asked_again_and_sent_everything():
    """It never answers; three deadlines of 5 ms are over long before 60 rounds of two sites."""
    federation = Federation(silent={1}, round__quorum=0.5)

    federation.run(rounds=60, timeout=0.005)

    given_up = told(federation, "given-up")
    assert {site for _, site in given_up} == {"site-1"}
    first = given_up[0][0]
    asked = [number for number, site in told(federation, "refused") if site == "site-1"]
    assert asked[:2] == [1, first]
    assert [line.sites for line in federation.lines[1:]] == [2] * 60
