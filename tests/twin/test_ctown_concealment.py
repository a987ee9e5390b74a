"""Concealment on hand-made recordings."""

import numpy as np
import pytest

from dtfl_app.core.errors import TwinError
from twin.base import Event
from twin.ctown.concealment import check_concealment, conceal, concealed_channels, replay_lag
from twin.ctown.scada import SCADA


def recording(hours=96):
    """Every channel shows the hour plus a hundredth of its column number. shape: (hours, 43)"""
    return np.arange(hours, dtype=float)[:, None] + np.arange(43) / 100.0


def column(values, channel):
    return values[:, SCADA.names.index(channel)]


def attack(way, start=48, hours=12, target="T1"):
    return Event("falsified_level", target, start, hours, conceal=way)


@pytest.mark.parametrize(("hours", "lag"), [(1, 24), (24, 24), (25, 48), (96, 96)])
def test_a_replay_reaches_back_whole_days(hours, lag):
    assert replay_lag(hours) == lag


def test_replay_shows_the_same_hours_of_an_earlier_day():
    values = recording()

    conceal(values, attack("replay"))

    assert column(values, "L_T1")[48:60].tolist() == list(range(24, 36))


def test_constant_holds_the_last_value_before():
    values = recording()

    conceal(values, attack("constant"))

    assert (column(values, "L_T1")[48:60] == 47.0).all()


def test_offset_keeps_the_shape_and_shows_the_mean_of_the_day_before():
    """Hours 24..47 have mean 35.5, hours 48..59 have 53.5: everything is lowered by 18."""
    values = recording()

    conceal(values, attack("offset"))

    assert column(values, "L_T1")[48:60] == pytest.approx(np.arange(48.0, 60.0) - 18.0)


def test_ramp_is_a_straight_line_between_honest_ends():
    values = recording()
    column(values, "L_T1")[50:55] = -9.0

    conceal(values, attack("ramp"))

    assert column(values, "L_T1")[48:60] == pytest.approx(np.linspace(47.0, 59.0, 12))


def test_status_is_held_rather_than_shifted():
    values = recording()
    column(values, "S_PU1")[:] = 0.0
    column(values, "S_PU1")[47] = 1.0

    conceal(values, attack("offset+pumps"))

    assert (column(values, "S_PU1")[48:60] == 1.0).all()


def test_the_scope_decides_which_channels_are_rewritten():
    assert concealed_channels(attack("replay", target="T2")) == ("L_T2",)
    assert concealed_channels(attack("replay+pumps", target="T2")) == ("L_T2", "F_V2", "S_V2")
    assert concealed_channels(attack("replay+station", target="T2")) == (
        *("L_T2", "F_V2", "S_V2"),
        *("P_J14", "P_J422"),
    )


def test_an_attack_on_a_pump_conceals_the_tank_it_fills():
    assert concealed_channels(attack("replay", target="PU7")) == ("L_T4",)


def test_only_the_hours_of_the_event_and_its_channels_change():
    values = recording()

    conceal(values, attack("ramp+station"))

    changed = np.argwhere(values != recording())
    assert set(changed[:, 0]) <= set(range(48, 60))
    names = {SCADA.names[index] for index in changed[:, 1]}
    assert names <= set(concealed_channels(attack("ramp+station")))


@pytest.mark.parametrize("way", ["erase", "replay+everything", "replay+", "+pumps"])
def test_an_unknown_way_is_refused(way):
    with pytest.raises(TwinError, match="is unknown; expected one of replay"):
        check_concealment(attack(way))


def test_a_replay_needs_something_to_replay():
    with pytest.raises(TwinError, match="needs 48 h before the event, which starts at hour 40"):
        check_concealment(attack("replay", start=40, hours=30))
