"""Scenario plans: what is drawn, how evenly, and that the twin accepts it."""

from collections import Counter

import pytest

from dtfl_app.core.errors import TwinError
from twin.ctown.defaults import default_plant
from twin.ctown.events import ATTACKS, FAULTS, KINDS, check_scenario, kinds_of
from twin.ctown.network import network_of
from twin.ctown.simulate import CTownTwin

TWIN = CTownTwin(default_plant())


def events_of(scenarios):
    return [event for scenario in scenarios for event in scenario.events]


def test_without_families_everything_is_normal():
    scenarios = TWIN.plan(5, 100, seed=1, families=())

    assert [scenario.hours for scenario in scenarios] == [100] * 5
    assert not events_of(scenarios)


def test_a_quarter_of_the_scenarios_is_normal():
    scenarios = TWIN.plan(40, 168, seed=1, families=("attack",))

    assert sum(not scenario.events for scenario in scenarios) == 10


def test_kinds_take_turns():
    """48 scenarios of one week, 12 of them normal: 36 events, 12 of each of 3 kinds."""
    families = ("leak", "forced_off", "sensor_stuck")

    scenarios = TWIN.plan(48, 168, seed=2, families=families)

    assert Counter(e.kind for e in events_of(scenarios)) == dict.fromkeys(families, 12)


def test_families_name_all_kinds_of_a_sort():
    assert kinds_of(["attack"]) == tuple(ATTACKS)
    assert kinds_of(["fault", "valve"]) == ("valve", *FAULTS)
    assert kinds_of(["fault", "attack"]) == tuple(KINDS)


def test_the_same_seed_gives_the_same_plan_and_another_seed_another():
    first, again, other = (TWIN.plan(6, 336, seed, ("attack", "fault")) for seed in (3, 3, 4))

    assert first == again
    assert events_of(first) != events_of(other)


def test_scenarios_of_a_plan_have_names_and_seeds_of_their_own():
    scenarios = TWIN.plan(50, 24, seed=5, families=())

    assert len({scenario.name for scenario in scenarios}) == 50
    assert len({scenario.seed for scenario in scenarios}) == 50


@pytest.mark.parametrize("hours", [24, 100, 700])
def test_every_planned_scenario_can_be_run(hours):
    scenarios = TWIN.plan(200, hours, seed=6, families=("attack", "fault"))

    for scenario in scenarios:
        check_scenario(scenario, network_of(TWIN.plant))


def test_events_of_a_scenario_do_not_overlap():
    for scenario in TWIN.plan(40, 1000, seed=7, families=("attack",)):
        ends = [event.start_h + event.hours for event in scenario.events]
        starts = [event.start_h for event in scenario.events]
        assert all(end < start for end, start in zip(ends, starts[1:], strict=False))


def test_attacks_are_sometimes_concealed_and_faults_never():
    events = events_of(TWIN.plan(80, 336, seed=8, families=("attack", "fault")))

    ways = {e.conceal.partition("+")[0] for e in events if e.kind in ATTACKS}
    assert ways == {"", "replay", "constant", "offset", "ramp"}
    assert not any(e.conceal for e in events if e.kind in FAULTS)


def test_an_unknown_family_is_refused():
    with pytest.raises(TwinError, match=r"\['flood'\] are unknown; expected altered_thresholds"):
        TWIN.plan(1, 100, seed=1, families=("leak", "flood"))


@pytest.mark.parametrize(("count", "hours", "seed"), [(-1, 100, 0), (1, 23, 0), (1, 100, -1)])
def test_an_impossible_plan_is_refused(count, hours, seed):
    with pytest.raises(TwinError, match="plan: count"):
        TWIN.plan(count, hours, seed, ("leak",))
