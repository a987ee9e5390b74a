"""SCAFFOLD on two parabolas, every number by hand.

Site 0 has the goal 0 and curvature 1, site 1 the goal 3 and curvature 2, so the sum of both is
least at (0 * 1 + 3 * 2) / 3 = 2. Both take two steps of 0.1.
"""

import json

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.rounds.state import Snapshot
from tests.support.convex_site import ConvexSites
from tests.support.federation import Federation
from tests.support.line_model import LAST, bias
from tests.support.workbench import strategy_on

SGD = {"train__optimizer": "sgd", "train__lr": 0.1}
INT8 = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}


def federation(sites=None, name="scaffold", **settings):
    sites = sites or ConvexSites()
    made = Federation(name, handler=sites, sites=2, trust__norm_limit=0.0, **SGD, **settings)
    return made, sites


def control(made) -> float:
    return float(made.strategy.state.memory[LAST][0])


def own(sites, place: int) -> float:
    return float(sites.own[f"site-{place}"][LAST][0])


def test_two_rounds_by_hand():
    """Round 1, x = c = 0: site 0 stays at 0, c_0 = 0; site 1 goes 0.6, 1.08, c_1 = -1.08 / 0.2.
    So x = 0.54, c_1 = -5.4 and c = -2.7.

    Round 2. Site 0 is pushed by c - c_0 = -2.7: 0.756, 0.9504; c_0 = 2.7 + (0.54 - 0.9504) / 0.2 =
    0.648. Site 1 by 2.7: 0.762, 0.9396; c_1 = -5.4 + 2.7 - 1.998 = -4.698. So x = 0.945,
    c = -2.7 + (0.648 + 0.702) / 2 = -2.025.
    """
    made, sites = federation()

    made.run(rounds=1)
    first = bias(made.strategy.state.model), control(made), own(sites, 0), own(sites, 1)
    again, sites = federation()
    again.run(rounds=2)

    assert first == pytest.approx((0.54, -2.7, 0.0, -5.4), abs=1e-5)
    assert bias(again.strategy.state.model) == pytest.approx(0.945, abs=1e-5)
    assert control(again) == pytest.approx(-2.025, abs=1e-5)
    assert (own(sites, 0), own(sites, 1)) == pytest.approx((0.648, -4.698), abs=1e-5)


@pytest.mark.parametrize(("steps", "fedavg"), [((2, 2), 1.963636), ((2, 4), 2.269605)])
def test_it_reaches_the_optimum_that_fedavg_misses(steps, fedavg):
    """At x = 2: c_0 = 2, c_1 = -2, c = 0, and no site moves, however many steps it takes.

    FedAvg stays where x = (0.81 x + 0.64 x + 3 * 0.36) / 2 = 1.963636; with four steps at site 1,
    whose rest is then 0.8^4 = 0.4096, at 3 * 0.5904 / (2 - 0.81 - 0.4096) = 2.269605.
    """
    made, sites = federation(ConvexSites(steps=steps))
    plain, _ = federation(ConvexSites(steps=steps), name="fedavg")

    made.run(rounds=80)
    plain.run(rounds=80)

    assert bias(made.strategy.state.model) == pytest.approx(2.0, abs=1e-4)
    assert (own(sites, 0), own(sites, 1)) == pytest.approx((2.0, -2.0), abs=1e-3)
    assert control(made) == pytest.approx(0.0, abs=1e-3)
    assert bias(plain.strategy.state.model) == pytest.approx(fedavg, abs=1e-5)


def test_the_server_s_step_stretches_the_mean_change():
    """Round 1 as above with eta = 0.5: x = 0.27; c does not depend on it."""
    made, _ = federation(scaffold__eta=0.5)

    made.run(rounds=1)

    assert bias(made.strategy.state.model) == pytest.approx(0.27, abs=1e-6)
    assert control(made) == pytest.approx(-2.7, abs=1e-5)


@pytest.mark.parametrize("wire", [{}, INT8], ids=["float32", "int8"])
def test_server_and_sites_agree_after_replies_that_did_not_count(wire):
    """c is the mean of both c_k: site 1's reply to round 3 was refused, and taken back there."""
    made, sites = federation(ConvexSites(spoilt=(("site-1", 3), ("site-0", 5))), **wire)

    made.run(rounds=6)

    assert control(made) == pytest.approx((own(sites, 0) + own(sites, 1)) / 2, abs=0.02)
    assert [(e.site, e.round) for e in made.events] == [("site-1", 3), ("site-0", 5)]


def test_it_reaches_the_optimum_in_8_bits():
    made, _ = federation(**INT8)

    made.run(rounds=120)

    assert bias(made.strategy.state.model) == pytest.approx(2.0, abs=1e-2)


@pytest.mark.parametrize("wire", [{}, INT8], ids=["float32", "int8"])
def test_taken_up_after_round_4_it_ends_in_the_same_bytes(wire):
    whole, _ = federation(checkpoint_every=2, **wire)
    whole.run(rounds=6)
    cut, _ = federation(checkpoint_every=2, **wire)
    cut.run(rounds=5)
    snapshot = cut.snapshots[-1]
    stored = Snapshot.read(snapshot.arrays(), json.loads(json.dumps(snapshot.notes())))
    again, _ = federation(checkpoint_every=2, **wire)
    again.grid.contexts = cut.grid.contexts

    again.run(rounds=6, snapshot=stored)

    first, second = whole.strategy.state, again.strategy.state
    assert snapshot.round == 4
    assert first.model[LAST].tobytes() == second.model[LAST].tobytes()
    assert first.memory[LAST].tobytes() == second.memory[LAST].tobytes()
    assert whole.lines[-1].bytes_down == again.lines[-1].bytes_down


def test_without_the_sites_own_state_a_run_is_not_taken_up():
    """Its sites are new and hold nothing: they say what is missing, and none is taken for 0."""
    cut, _ = federation(checkpoint_every=2)
    cut.run(rounds=3)
    again, _ = federation(checkpoint_every=2, round__retries=0)

    with pytest.raises(Exception, match="0 of 2 sites gave a usable reply"):
        again.run(rounds=4, snapshot=cut.snapshots[-1])

    said = [event.reason for event in again.events if event.kind == "refused"]
    assert len(said) == 2
    assert all("version 'scaffold/2', the site holds none" in text for text in said)
    assert all("set state.dir" in text for text in said)


def test_what_travels_is_twice_a_model_each_way_and_a_quarter_in_8_bits():
    """Eight arrays of one value, twice, from two sites: 4 bytes a value, or 1 and 4 of a scale."""
    plain, _ = federation()
    small, _ = federation(**INT8)

    plain.run(rounds=2)
    small.run(rounds=2)

    assert [line.bytes_up for line in plain.lines[1:]] == [2 * 16 * 4] * 2
    assert [line.bytes_up for line in small.lines[1:]] == [2 * 16 * (1 + 4)] * 2
    # in round 2 one array of the model changed and one of c; the model is not kept in float32
    assert plain.lines[2].bytes_down == 2 * (8 * 4 + 4)
    assert small.lines[2].bytes_down == 2 * 2 * (1 + 4)


@pytest.mark.parametrize(
    "settings", [{}, {"train__optimizer": "sgd", "train__momentum": 0.9}], ids=["adam", "momentum"]
)
def test_it_needs_plain_sgd(settings):
    with pytest.raises(ConfigError, match=r"'scaffold' needs train.optimizer=sgd and .*=0.0: its"):
        strategy_on("scaffold", **settings)


def test_a_hostile_site_s_huge_change_of_c_is_refused():
    """A third site's c_k would move c by a thousand; its layers alone look like the others'."""
    honest = ConvexSites((0.0, 3.0, 1.0), (1.0, 2.0, 1.0), (2, 2, 2))

    def handler(message, context):
        reply = honest(message, context)
        number = message.content.config_records.get("task", {}).get("server-round")
        arrays = reply.content.array_records.get("arrays")
        if arrays and context.node_config["partition-id"] == 2 and number == 2:
            arrays[f"extra/{LAST}"] = type(arrays[f"extra/{LAST}"])(np.array([1e4], np.float32))
        return reply

    made = Federation("scaffold", handler=handler, sites=3, **SGD)
    made.run(rounds=2)

    (event,) = made.events
    assert (event.site, event.round) == ("site-2", 2)
    assert "its extra arrays are 1e+04 long" in event.reason
    assert abs(control(made)) < 10
