"""Events in any EPANET network, beside the controls and rules that EPANET runs itself."""

from functools import cache

import numpy as np
import pytest

from tests.support.networks import LTOWN, NET1, NET2, NET3, edited
from twin.base import Event, Scenario
from twin.epanet.events import KINDS
from twin.epanet.options import EpanetOptions
from twin.epanet.simulate import EpanetTwin
from twin.errors import TwinError

START, LASTS, HOURS = 30, 40, 120
DURING = slice(START, START + LASTS)
FT = 0.3048


@cache
def twin(path=NET3, **options):
    return EpanetTwin(path, EpanetOptions(**options))


@cache
def run(path, *events):
    return twin(path).simulate(Scenario("s", HOURS, 11, events))


def event(kind, target, strength=0.0, conceal=""):
    return Event(kind, target, START, LASTS, strength, conceal)


ONE_OF_EACH = [
    event("altered_thresholds", "1", -1.5),
    event("falsified_level", "1", 2.0),
    event("signal_altered", "1", 2.0),
    event("pump_speed", "10", 0.8),
    event("forced_pump", "10"),
    event("forced_off", "10"),
    event("valve", "330", 0.0),
    event("leak", "123", 60.0),
    event("demand_burst", "123", 60.0),
    event("sensor_drift", "L_1", 0.05),
    event("sensor_stuck", "L_1"),
    event("sensor_noise", "L_1", 0.5),
    event("pump_degradation", "10", 0.3),
    event("valve_stuck", "330"),
]


def test_every_kind_is_tried_below():
    assert [one.kind for one in ONE_OF_EACH] == list(KINDS)
    assert set(KINDS) == set(twin().kinds)


@pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda one: one.kind)
def test_nothing_differs_before_an_event_and_something_does_after(one):
    with_it, without = (run(NET3, *events)[twin().schema.names] for events in ((one,), ()))

    assert with_it[:START].equals(without[:START])
    assert not with_it[START:].equals(without[START:])
    assert (run(NET3, one)["label"].to_numpy()[DURING] == 1).all()
    assert run(NET3, one)["label"].sum() == LASTS
    assert set(run(NET3, one)["event"][DURING]) == {f"{one.kind}:{one.target}#0"}


def test_every_kind_that_a_network_has_can_be_planned_and_run():
    scenarios = twin().plan(20, 48, seed=3, families=["attack", "fault"])

    assert {e.kind for s in scenarios for e in s.events} == set(KINDS)
    for scenario in scenarios:
        twin().schema.validate(twin().simulate(scenario), scenario.name)


def test_a_network_plans_only_what_it_has():
    """Net1 has no valve and no pipe that a control switches."""
    assert set(KINDS) - set(twin(NET1).kinds) == {"valve", "valve_stuck"}
    with pytest.raises(TwinError, match=r"\['valve'\] are unknown; expected altered"):
        twin(NET1).plan(1, 48, seed=0, families=["valve"])


def test_a_family_that_a_network_has_no_target_for_is_refused():
    with pytest.raises(TwinError, match=r"nothing that \['attack'\] could act on; expected.*leak"):
        twin(NET2).plan(1, 48, seed=0, families=["attack"])


def net1_by_rules(folder):
    """Net1 whose two controls are rules."""
    rules = "\n".join(
        f"RULE {name}\nIF TANK 2 LEVEL {word} {level}\nTHEN PUMP 9 STATUS IS {status}\n"
        for name, word, level, status in (
            ("a", "BELOW", 110, "OPEN"),
            ("b", "ABOVE", 140, "CLOSED"),
        )
    )
    controls = " LINK 9 OPEN IF NODE 2 BELOW 110\n LINK 9 CLOSED IF NODE 2 ABOVE 140"
    return edited(NET1, folder, (controls, ""), ("[RULES]", f"[RULES]\n{rules}"))


@pytest.fixture(scope="module")
def by_rules(tmp_path_factory):
    return net1_by_rules(tmp_path_factory.mktemp("rules"))


@pytest.fixture(params=["controls", "rules"])
def net1(request, by_rules):
    return NET1 if request.param == "controls" else by_rules


def test_a_low_level_told_to_the_plc_keeps_the_pump_on_until_the_tank_is_full(net1):
    """The pump fills the tank from 110 to 140 ft; told 33 m (108 ft), it goes on to the 150 ft
    top, and stops when the truth is known again.
    """
    series = run(net1, event("falsified_level", "2", 33.0))

    assert (series["S_9"][START + 1 : DURING.stop] == 1).all()
    assert series["L_2"][DURING].max() == pytest.approx(150 * FT, abs=0.01)
    assert run(net1)["L_2"].max() < 141 * FT
    assert series["S_9"].iloc[DURING.stop + 1] == 0


def test_a_high_level_told_to_the_plc_keeps_the_pump_off(net1):
    series = run(net1, event("falsified_level", "2", 44.0))

    assert (series["S_9"][START + 1 : DURING.stop] == 0).all()


@pytest.mark.parametrize("kind", ["altered_thresholds", "signal_altered"])
def test_moved_thresholds_move_the_levels_at_which_a_pump_switches(net1, kind):
    """2 m lower thresholds, or a level told 2 m higher: from 110 - 6.6 to 140 - 6.6 ft."""
    strength = -2.0 if kind == "altered_thresholds" else 2.0
    one = Event(kind, "2", 10, 100, strength)

    levels = run(net1, one)["L_2"].to_numpy()[30:110]

    assert levels.max() < 140 * FT - 2.0 + 0.3
    assert levels.min() < 110 * FT - 1.0
    assert levels.min() > 110 * FT - 2.0 - 0.3


def test_a_stuck_level_sensor_misleads_the_plc_and_the_scada(net1):
    series = run(net1, event("sensor_stuck", "L_2"))

    assert np.ptp(series["L_2"][DURING]) == 0.0
    assert np.ptp(series["S_9"][START + 1 : DURING.stop]) == 0.0


def test_a_forced_pump_gets_back_what_its_controls_ordered_meanwhile():
    """Net3 opens pump 10 at hour 25 of each other; 49 to 63 h after the file's start it is on.
    Held off from hour 47 to 51, at hour 52 it runs: the order of hour 49 was not forgotten.
    """
    bare = twin(NET3, demand_noise=0.0, burn_in_days=0)
    series = bare.simulate(Scenario("s", 60, 0, (Event("forced_off", "10", 47, 5),)))

    assert series["S_10"].to_numpy()[45:55].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_a_pump_that_turns_slower_is_still_switched_by_its_controls(net1):
    series = run(net1, event("pump_speed", "9", 0.9))
    usual = run(net1)

    assert set(series["S_9"][DURING]) == {0.0, 1.0}
    running = series["F_9"][DURING][series["S_9"][DURING] == 1]
    assert running.max() < 0.9 * usual["F_9"].max()
    assert series["F_9"][DURING.stop + 24 :].max() == pytest.approx(usual["F_9"].max(), rel=0.1)


def test_a_valve_held_closed_regulates_again_afterwards():
    """PRV-1 of L-Town holds 40 m behind it."""
    one = Event("valve", "PRV-1", 5, 5, 0.0)

    series = twin(LTOWN, burn_in_days=0).simulate(Scenario("s", 16, 1, (one,)))

    assert (series["F_PRV-1"][5:10] == 0).all()
    assert (series["S_PRV-1"][5:10] == 0).all()
    assert series["P_n300"][10:].to_numpy() == pytest.approx(40.0, abs=0.01)


def test_what_leaks_or_is_drawn_has_the_size_asked_for_in_any_unit(tmp_path):
    """Net1 (gallons, feet, psi) without its tank and controls: pump 9 delivers what is used. A leak
    of 8 L/s at 30 m loses 8 (p / 30)^0.5 at a pressure of p.
    """
    controls = " LINK 9 OPEN IF NODE 2 BELOW 110\n LINK 9 CLOSED IF NODE 2 ABOVE 140"
    tankless = edited(NET1, tmp_path, (controls, ""), ("[STATUS]", "[STATUS]\n 110 Closed"))

    usual, leak, burst = (
        run(tankless, *events)
        for events in ((), (event("leak", "10", 8.0),), (event("demand_burst", "10", 8.0),))
    )

    drawn, lost = ((one["F_9"] - usual["F_9"]).to_numpy() for one in (burst, leak))
    assert drawn[DURING] == pytest.approx(8.0, rel=1e-3)
    assert lost[DURING] == pytest.approx(8.0 * np.sqrt(leak["P_10"][DURING] / 30.0), rel=1e-3)
    assert drawn[DURING.stop :] == pytest.approx(0.0, abs=1e-3)
    assert lost[DURING.stop :] == pytest.approx(0.0, abs=1e-3)


def test_a_leak_comes_on_top_of_an_emitter_of_the_file_and_leaves_it(tmp_path):
    """Coefficient 10 gpm per psi^0.5 at junction 10; without tank and controls as above."""
    controls = " LINK 9 OPEN IF NODE 2 BELOW 110\n LINK 9 CLOSED IF NODE 2 ABOVE 140"
    changes = ((controls, ""), ("[STATUS]", "[EMITTERS]\n 10 10\n\n[STATUS]\n 110 Closed"))
    leaky = edited(NET1, tmp_path, *changes)

    more = (run(leaky, event("leak", "10", 8.0))["F_9"] - run(leaky)["F_9"]).to_numpy()

    assert (more[DURING] > 5.0).all()
    assert more[DURING.stop :] == pytest.approx(0.0, abs=1e-3)


def test_two_events_at_once_do_not_get_into_each_others_way():
    """Pump 9 is held off while the PLC is told a high level, and is given back before the truth:
    it stays off, since its threshold is still where the lie puts it.
    """
    lie, held = Event("falsified_level", "2", 30, 40, 44.0), Event("forced_off", "9", 35, 10)

    assert (run(NET1, lie, held)["S_9"][36:70] == 0).all()
    assert set(run(NET1, lie, held)["event"][35:45]) == {"falsified_level:2#0+forced_off:9#1"}


def test_concealment_rewrites_the_tank_and_the_station_that_fills_it():
    """Tank 1 of Net3 is filled by pump 335 between junctions 60 and 61."""
    open_, hidden = (
        run(NET3, event("falsified_level", "1", 2.0, way)) for way in ("", "constant+station")
    )

    differ = {name for name in twin().schema.names if not open_[name].equals(hidden[name])}
    assert differ <= {"L_1", "F_335", "S_335", "P_60", "P_61"}
    assert np.ptp(hidden["L_1"][DURING]) == 0.0


def test_concealment_of_a_link_that_fills_no_tank_rewrites_its_own_channels():
    one = event("forced_pump", "10", 0.0, "constant")

    assert np.ptp(run(NET3, one)["F_10"][DURING]) == 0.0
    assert np.ptp(run(NET3, one)["L_1"][DURING]) > 0.0


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (event("leak", "999", 5.0), "target '999' is unknown"),
        (event("flood", "10"), "kind 'flood' is unknown"),
        (event("falsified_level", "2", 2.0), "target '2' is unknown; expected 1"),
        (Event("leak", "10", 110, 20, 5.0), "not within the scenario's 120"),
        (event("pump_speed", "10", 3.0), "strength 3.0 is out of range"),
    ],
)
def test_an_event_that_the_network_cannot_have_is_refused(one, reason):
    with pytest.raises(TwinError, match=reason):
        twin().simulate(Scenario("s", HOURS, 1, (one,)))
