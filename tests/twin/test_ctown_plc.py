"""PLC logic on hand-made numbers."""

import pytest

from twin.ctown.plant import SetPoint
from twin.epanet.plc import PlcRack, next_status

RULE = SetPoint(tank="T1", on_below=1.0, off_above=3.0)


@pytest.mark.parametrize(
    ("level", "before", "after"),
    [
        (0.5, False, True),
        (1.0, False, True),  # the bound itself switches
        (2.0, False, False),  # inside the band the last status holds
        (2.0, True, True),
        (3.0, True, False),  # a full tank at its off-level must stop its pump
        (3.5, True, False),
    ],
)
def test_two_point_control_holds_its_status_inside_the_band(level, before, after):
    assert next_status(RULE, level, before) is after


def test_off_wins_where_both_bounds_are_met():
    crossed = SetPoint(tank="T1", on_below=3.0, off_above=1.0)

    assert next_status(crossed, 2.0, True) is False


def test_a_cycle_switches_once_at_each_bound():
    rack = PlcRack({"PU1": RULE})
    levels = [2.0, 0.9, 2.0, 2.9, 3.1, 2.0, 1.1, 1.0]

    seen = [rack.decide({"PU1": RULE}, {"T1": level})["PU1"] for level in levels]

    assert seen == [False, True, True, True, False, False, False, True]


def test_each_link_listens_to_its_own_tank():
    rules = {"PU1": RULE, "PU4": SetPoint(tank="T3", on_below=2.0, off_above=4.0)}

    orders = PlcRack(rules).decide(rules, {"T1": 2.5, "T3": 1.5})

    assert orders == {"PU1": False, "PU4": True}
