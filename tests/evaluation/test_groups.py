"""The two groups of events, and their figures, followed by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.evaluation.groups import HELD_OUT, SIMULATED, UNKNOWN, EventGroups, event_groups
from dtfl_app.sites.batadal import ATTACKS
from dtfl_app.sites.plants import PlantsDataset
from tests.support.settings import keyed
from twin.ctown.events import KINDS

HOUR = 3600.0
GROUPS = EventGroups(lambda event: {"s": "leak", "h": "valve"}.get(event, ""), frozenset({"valve"}))


def config(**settings) -> RunConfig:
    unseen = {"dataset": "batadal", "data.protocol": "unseen-families"}
    return RunConfig.from_mapping({**unseen, **keyed(**settings)})


def alarms(scores: list[float], events: str, unlabelled: tuple[int, ...] = ()) -> pd.DataFrame:
    """One character of `events` per time step, "." for none; alarms above 0.5."""
    names = ["" if c == "." else c for c in events]
    label = np.array([int(bool(name)) for name in names], dtype=np.int8)
    label[list(unlabelled)] = -1
    return pd.DataFrame({"label": label, "event": names, "score": scores, "threshold": 0.5})


def test_each_group_is_judged_on_its_own_events_and_all_normal_steps():
    """4 normal steps, 1 false alarm; of s both steps found, of h the second of three.

    s: (1 + 3/4) / 2 = 0.875. h: (1/3 + 3/4) / 2 = 0.54167, found one step late of three.
    """
    found = GROUPS.metrics(alarms([0, 1, 1, 1, 0, 0, 1, 0, 0], "..ss.hhh."), HOUR)

    simulated, held_out = found[SIMULATED], found[HELD_OUT]
    assert list(found) == [SIMULATED, HELD_OUT]
    assert (simulated.events, simulated.events_found, simulated.recall) == (1, 1, 1.0)
    assert simulated.balanced_accuracy == pytest.approx(0.875)
    assert (held_out.events, held_out.events_found) == (1, 1)
    assert held_out.balanced_accuracy == pytest.approx((1 / 3 + 3 / 4) / 2)
    assert held_out.hours_to_detection == 1.0
    assert simulated.false_alarm_rate == held_out.false_alarm_rate == 0.25
    assert simulated.base_rate == pytest.approx(2 / 6)
    assert held_out.base_rate == pytest.approx(3 / 7)


def test_steps_of_the_other_group_have_no_part_in_the_ranking():
    rng = np.random.default_rng(0)
    table = alarms(rng.random(60).tolist(), "." * 20 + "s" * 20 + "h" * 20)

    found = GROUPS.metrics(table, HOUR)

    for group, name in ((SIMULATED, "s"), (HELD_OUT, "h")):
        own = table[table["event"].isin(["", name])]
        expected = roc_auc_score(own["label"], own["score"])
        assert found[group].roc_auc == pytest.approx(expected)


def test_unlabelled_steps_are_left_out():
    """Without step 1, the only false alarm of both groups."""
    found = GROUPS.metrics(alarms([0, 1, 1, 1, 0], "..sh.", unlabelled=(1,)), HOUR)

    assert [metrics.false_alarm_rate for metrics in found.values()] == [0.0, 0.0]


def test_a_group_without_events_has_no_figures():
    assert list(GROUPS.metrics(alarms([0, 1, 0], ".h."), HOUR)) == [HELD_OUT]
    assert GROUPS.metrics(alarms([0, 1, 0], "..."), HOUR) == {}


def test_events_of_no_known_family_are_a_group_of_their_own():
    found = GROUPS.metrics(alarms([0, 1, 0, 1], ".s.x"), HOUR)

    assert list(found) == [SIMULATED, UNKNOWN]
    assert found[UNKNOWN].events == 1


def test_stored_alarms_give_the_same_figures(tmp_path):
    """In a CSV file no event is an empty cell."""
    table = alarms([0, 1, 1, 1, 0], "..sh.")
    table.to_csv(tmp_path / "alarms.csv", index=False)

    assert GROUPS.metrics(pd.read_csv(tmp_path / "alarms.csv"), HOUR) == GROUPS.metrics(table, HOUR)


def test_every_batadal_attack_is_of_a_family_that_the_twin_knows():
    assert {attack.family for attack in ATTACKS} <= set(KINDS)


def test_batadals_attacks_by_default():
    """What the PLC receives is altered in 3, 4, 7 (dataset04) and 9, 12, 14 (test file)."""
    groups = event_groups(config())

    held_out = [a.number for a in ATTACKS if groups.group_of(a.event) == HELD_OUT]
    assert held_out == [3, 4, 7, 9, 12, 14]
    assert groups.group_of("attack-1") == SIMULATED
    assert groups.group_of("flagged-1") == UNKNOWN


def test_the_families_held_out_can_be_named():
    groups = event_groups(config(data__unseen_families=" pump_speed, forced_pump"))

    held_out = [a.number for a in ATTACKS if groups.group_of(a.event) == HELD_OUT]
    assert held_out == [5, 6, 10, 11]


def test_a_plants_events_name_their_family():
    groups = event_groups(config(dataset="plants", data__unseen_families="pump_speed"))

    assert PlantsDataset.family_of("plant-01 falsified_level:T1#0") == "falsified_level"
    assert groups.group_of("plant-12 pump_speed:PU7#2") == HELD_OUT
    assert groups.group_of("plant-12 forced_off:PU7#2") == SIMULATED


def test_other_protocols_have_no_groups():
    assert event_groups(config(data__protocol="unseen-events")) is None


def test_families_are_refused_where_no_group_is_made():
    with pytest.raises(
        ConfigError, match=r"'valve' has no part in data\.protocol = 'random-split'"
    ):
        event_groups(config(data__protocol="random-split", data__unseen_families="valve"))


def test_an_unknown_family_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"unseen-families has \['valves'\]; .*'forced_pump'"):
        event_groups(config(data__unseen_families="valves,leak"))


def test_a_data_set_of_other_plants_says_itself_which_families_there_are():
    wells = {"dataset": "threew", "data__protocol": "unseen-families"}

    groups = event_groups(config(**wells, data__unseen_families="slugging"))

    assert groups is not None and groups.held_out == {"slugging"}
    with pytest.raises(ConfigError, match=r"dataset = .threew. needs data\.unseen-families"):
        event_groups(config(**wells))
