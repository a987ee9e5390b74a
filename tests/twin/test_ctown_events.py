"""Each kind of event on the running plant, against the same hours without it."""

from functools import cache

import numpy as np
import pytest

from dtfl_app.core.errors import TwinError
from twin.base import Event, Scenario
from twin.ctown.defaults import default_plant
from twin.ctown.events import KINDS
from twin.ctown.scada import PLC_CHANNELS, SCADA
from twin.ctown.simulate import CTownTwin

TWIN = CTownTwin(default_plant())
SEED, HOURS, START, LASTS = 11, 96, 30, 48
DURING = slice(START, START + LASTS)


@cache
def run(*events):
    return TWIN.simulate(Scenario("s", HOURS, SEED, events))


def event(kind, target, strength=0.0, conceal=""):
    return Event(kind, target, START, LASTS, strength, conceal)


def during(channel, *events):
    return run(*events)[channel].to_numpy()[DURING]


def changed(*events):
    """Return the channels that differ at any hour from the run without events."""
    return {name for name in SCADA.names if not run(*events)[name].equals(run()[name])}


ONE_OF_EACH = [
    event("altered_thresholds", "T7", -1.5),
    event("collapsed_thresholds", "T3", 0.1),
    event("falsified_level", "T1", 0.2),
    event("signal_altered", "T4", 1.5),
    event("pump_speed", "PU7", 0.8),
    event("forced_pump", "PU3"),
    event("forced_off", "PU1"),
    event("valve", "V2", 0.0),
    event("leak", "J511", 15.0),
    event("demand_burst", "J511", 15.0),
    event("sensor_drift", "L_T1", 0.05),
    event("sensor_stuck", "L_T1"),
    event("sensor_noise", "L_T1", 0.5),
    event("pump_degradation", "PU1", 0.3),
    event("valve_stuck", "V2"),
    event("communication_loss", "PLC9"),
]


def test_every_kind_is_tried_below():
    assert [e.kind for e in ONE_OF_EACH] == list(KINDS)


@pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda e: e.kind)
def test_nothing_differs_before_an_event_and_something_does_after(one):
    before = run(one)[SCADA.names].iloc[:START]

    assert before.equals(run()[SCADA.names].iloc[:START])
    assert changed(one)


@pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda e: e.kind)
def test_rows_are_labelled_while_an_event_lasts(one):
    series = run(one)

    assert (series["label"] == [int(START <= h < START + LASTS) for h in range(HOURS)]).all()
    assert set(series["event"][DURING]) == {f"{one.kind}:{one.target}#0"}
    assert set(series["event"][: DURING.start]) == {""}


def test_lower_thresholds_run_the_tank_low():
    """PU4 starts at 3.0 m and stops at 5.3 m; lowered by 1.5 m, T3 stays under 3.8 m and a bit."""
    attack = event("altered_thresholds", "T3", -1.5)

    assert during("L_T3").min() > 2.8
    assert during("L_T3", attack).min() < 2.0
    assert during("L_T3", attack)[24:].max() < 4.0


def test_a_collapsed_band_keeps_the_pump_switching():
    attack = event("collapsed_thresholds", "T3", 0.05)

    switches = np.abs(np.diff(during("S_PU4", attack))).sum()
    assert switches > 1.5 * np.abs(np.diff(during("S_PU4"))).sum()
    assert np.ptp(during("L_T3", attack)[12:]) < 0.5 * np.ptp(during("L_T3")[12:])


def test_a_falsified_low_level_keeps_the_pumps_on_while_the_tank_rises():
    attack = event("falsified_level", "T1", 0.2)

    assert during("S_PU1", attack).all()
    assert during("S_PU2", attack).all()
    assert during("L_T1", attack).max() > during("L_T1").max() + 0.5


def test_a_signal_raised_by_1_5_m_stops_the_pump_1_5_m_earlier():
    attack = event("signal_altered", "T4", 1.5)

    assert during("L_T4", attack)[24:].max() < 4.5 - 1.5 + 0.3
    assert during("L_T4")[24:].max() > 4.0


def test_a_slow_pump_delivers_less():
    attack = event("pump_speed", "PU7", 0.8)
    both = (during("S_PU7") == 1) & (during("S_PU7", attack) == 1)

    assert both.any()
    assert (during("F_PU7", attack)[both] < during("F_PU7")[both]).all()


def test_a_forced_pump_runs_and_delivers():
    attack = event("forced_pump", "PU3")

    assert not during("S_PU3").any()
    assert during("S_PU3", attack).all()
    assert (during("F_PU3", attack) > 10.0).all()


def test_a_pump_forced_off_delivers_nothing():
    attack = event("forced_off", "PU1")

    assert during("S_PU1").all()
    assert not during("S_PU1", attack).any()
    assert (during("F_PU1", attack) == 0.0).all()


@pytest.mark.parametrize("opening", [0.0, 1.0])
def test_a_forced_valve_stays_open_or_closed(opening):
    attack = event("valve", "V2", opening)

    assert (during("S_V2", attack) == opening).all()
    assert ((during("F_V2", attack) == 0.0) == (opening == 0.0)).all()


@pytest.mark.parametrize("kind", ["leak", "demand_burst"])
def test_lost_water_is_missing_in_the_districts_balance(kind):
    """J511 lies in DMA2, fed by PU6 and PU7 alone: 15 L/s more must be pumped, or taken from T4.

    Over 48 h that is 2592 m3 for the burst; T4 holds 500 m3, so pumping covers four fifths.
    """
    area, hours = 106.4, LASTS - 1

    def used(*events):
        pumped = sum(during(f"F_{pump}", *events)[:-1].mean() for pump in ("PU6", "PU7"))
        level = during("L_T4", *events)
        return pumped - area * (level[-1] - level[0]) / (3.6 * hours)

    extra = used(event(kind, "J511", 15.0)) - used()

    assert extra == pytest.approx(15.0, rel=0.35)


def test_a_worn_pump_delivers_less_and_less():
    fault = event("pump_degradation", "PU1", 0.3)
    loss = during("F_PU1") - during("F_PU1", fault)

    assert loss[:8].mean() < loss[20:28].mean() < loss[-8:].mean()


def test_a_stuck_valve_stays_as_it_was():
    fault = event("valve_stuck", "V2")

    assert len(set(during("S_V2"))) == 2
    assert (during("S_V2", fault) == run()["S_V2"][START - 1]).all()


def test_a_drifting_sensor_walks_away_linearly():
    """Nothing listens to L_T6, so it alone changes: by 0.01 m per hour."""
    fault = event("sensor_drift", "L_T6", -0.01)

    assert changed(fault) == {"L_T6"}
    assert during("L_T6") - during("L_T6", fault) == pytest.approx(0.01 * np.arange(LASTS))


def test_a_stuck_sensor_repeats_its_first_value():
    fault = event("sensor_stuck", "P_J14")

    assert changed(fault) == {"P_J14"}
    assert set(during("P_J14", fault)) == {during("P_J14")[0]}


def test_a_noisy_sensor_scatters_with_the_asked_deviation():
    """48 samples give a standard deviation to within about 10% (one sigma)."""
    fault = event("sensor_noise", "P_J14", 3.0)

    assert changed(fault) == {"P_J14"}
    assert (during("P_J14", fault) - during("P_J14")).std() == pytest.approx(3.0, rel=0.3)


def test_a_broken_level_sensor_misleads_its_plc():
    """T7's sensor sticks: whatever PU10 does then, it does not change any more."""
    fault = event("sensor_stuck", "L_T7")

    assert len(set(during("S_PU10"))) == 2
    assert len(set(during("S_PU10", fault))) == 1


def test_a_lost_plc_freezes_its_channels_and_leaves_the_physics_alone():
    """PLC1 only reports: PU1 to PU3 and two pressures."""
    fault = event("communication_loss", "PLC1")

    assert changed(fault) <= set(PLC_CHANNELS["PLC1"])
    for name in PLC_CHANNELS["PLC1"]:
        assert set(during(name, fault)) == {during(name)[0]}


def test_a_lost_plc_may_leave_gaps():
    fault = event("communication_loss", "PLC1", 1.0)

    assert np.isnan(during("F_PU1", fault)).all()
    assert run(fault)["F_PU1"].notna().sum() == HOURS - LASTS


def test_pumps_work_on_with_the_last_level_of_a_lost_plc():
    fault = event("communication_loss", "PLC9")

    assert len(set(during("S_PU10", fault))) == 1
    assert set(during("L_T7", fault)) == {during("L_T7")[0]}


@pytest.mark.parametrize("way", ["constant", "offset", "ramp"])
def test_concealment_changes_the_recording_and_nothing_else(way):
    open_attack = event("falsified_level", "T1", 0.2)
    hidden = event("falsified_level", "T1", 0.2, f"{way}+station")

    differing = {n for n in SCADA.names if not run(open_attack)[n].equals(run(hidden)[n])}

    assert "L_T1" in differing
    assert differing <= {"L_T1", "P_J280", "P_J269"} | {f"{q}_PU{n}" for q in "FS" for n in (1, 2)}
    after = slice(START + LASTS, HOURS)
    assert run(open_attack)[SCADA.names][after].equals(run(hidden)[SCADA.names][after])


def test_events_at_the_same_time_are_both_named():
    pair = (event("forced_pump", "PU3"), event("leak", "J511", 5.0))

    assert set(run(*pair)["event"][DURING]) == {"forced_pump:PU3#0+leak:J511#1"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (event("flood", "T1"), "kind 'flood' is unknown; expected altered_thresholds"),
        (event("pump_speed", "V2", 0.8), "target 'V2' is unknown; expected PU1"),
        (event("leak", "J9999", 5.0), "target 'J9999' is unknown"),
        (event("pump_speed", "PU7", 7.0), "strength 7.0 is out of range; expected 0.3 to 1.2"),
        (event("altered_thresholds", "T3"), "expected -4 to 4, not 0: shift of the set-points"),
        (event("leak", "J511", 5.0, "replay"), "only attacks are concealed"),
        (Event("forced_off", "PU1", 90, 7), "hours 90 to 97 are not within the scenario's 96"),
        (Event("forced_off", "PU1", 90, 0), "not within"),
        (Event("forced_off", "PU1", 5, 4, conceal="replay"), "needs 24 h before"),
    ],
)
def test_an_impossible_event_is_refused_with_its_reason(bad, reason):
    with pytest.raises(TwinError, match=f"scenario 's', event 0: .*{reason}"):
        run(bad)
