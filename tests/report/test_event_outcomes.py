import numpy as np
import pandas as pd
import pytest

from dtfl_app.report.event_outcomes import EventSpan, event_outcomes, spans, timelines
from tests.support.run_folder import alarms_of


def test_runs_of_true_are_begin_and_exclusive_end():
    assert spans(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert spans(np.array([False, False])) == []
    assert spans(np.array([], dtype=bool)) == []


def test_a_found_event_has_its_first_alarm_delay_and_the_channels_of_its_alarms():
    """The leak is in hours 5 to 9 with alarms from hour 6: 4 of 5 hours, the last F_PU1's."""
    leak, _ = event_outcomes(alarms_of(first_alarm=1))

    assert (leak.event, leak.instance, leak.hours) == ("leak", "week", 5.0)
    assert leak.begin == pd.Timestamp("2024-01-01 05:00")
    assert leak.first_alarm == pd.Timestamp("2024-01-01 06:00")
    assert leak.delay_hours == 1.0
    assert leak.alarm_share == pytest.approx(0.8)
    assert leak.channels == (("L_T1", 3), ("F_PU1", 1))
    assert leak.smallest_p is None


def test_a_missed_event_has_no_alarm_and_the_channels_of_all_its_steps():
    _, theft = event_outcomes(alarms_of(first_alarm=1))

    assert theft.first_alarm is None
    assert theft.delay_hours is None
    assert theft.alarm_share == 0.0
    assert theft.channels == (("F_PU2", 2),)


def test_channels_that_stand_out_equally_often_come_by_name():
    alarms = alarms_of(first_alarm=0)
    alarms["channel"] = ["b", "a"] * 10

    leak, _ = event_outcomes(alarms)

    assert leak.channels == (("a", 3), ("b", 2))
    alarms["channel"] = ["b", "b", "a", "a"] * 5
    theft = event_outcomes(alarms)[1]
    assert theft.channels == (("a", 1), ("b", 1))


def test_steps_without_a_label_are_left_out_as_in_the_metrics():
    alarms = alarms_of(first_alarm=0)
    alarms.loc[5, "label"] = -1

    leak, _ = event_outcomes(alarms)

    assert leak.hours == 4.0
    assert leak.begin == pd.Timestamp("2024-01-01 06:00")


def test_the_smallest_p_value_of_an_event_is_that_of_its_steps():
    alarms = alarms_of(first_alarm=0)
    alarms["p_value"] = np.linspace(1.0, 0.05, 20)  # falls by 0.05 an hour

    leak, _ = event_outcomes(alarms)

    assert leak.smallest_p == pytest.approx(1.0 - 0.05 * 9)


def test_a_timeline_has_the_alarms_and_events_of_its_stretch_in_hours():
    ((name, part, line),) = timelines(alarms_of(first_alarm=1), steps=100, points=100)

    assert (name, part, line.threshold) == ("week", 0, 1.0)
    assert line.alarms == ((2.0, 3.0), (6.0, 10.0))
    assert line.events == (EventSpan("leak", 5.0, 10.0), EventSpan("theft", 15.0, 17.0))
    np.testing.assert_array_equal(line.time, np.arange(20.0))


def test_thinning_keeps_the_largest_score():
    """20 steps to 5 points of 4: the lone alarm in hour 2 is in the first."""
    ((_, _, line),) = timelines(alarms_of(first_alarm=None), steps=100, points=5)

    np.testing.assert_array_equal(line.time, [0.0, 4.0, 8.0, 12.0, 16.0])
    np.testing.assert_array_equal(line.score, [2.0, 0.5, 0.5, 0.5, 0.5])


def test_a_long_instance_goes_on_in_a_second_part():
    """Cut after 8 hours, the leak of hours 5 to 9 is in both parts."""
    parts = list(timelines(alarms_of(first_alarm=1), steps=8, points=100))

    assert [(name, part) for name, part, _ in parts] == [("week", 0), ("week", 1), ("week", 2)]
    assert parts[0][2].events == (EventSpan("leak", 5.0, 8.0),)
    assert parts[1][2].events == (EventSpan("leak", 8.0, 10.0), EventSpan("theft", 15.0, 16.0))
    assert parts[1][2].time[0] == 8.0


def test_instances_are_told_apart():
    two = pd.concat([alarms_of(1), alarms_of(1).assign(instance="next week")])

    assert [name for name, _, _ in timelines(two, 100, 100)] == ["week", "next week"]
