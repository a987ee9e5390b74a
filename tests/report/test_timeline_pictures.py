import re

import pandas as pd

from dtfl_app.report.timeline_pictures import timeline_pictures
from dtfl_app.results.measures import time_unit
from tests.support.run_folder import HOURS, alarms_of


def hours(count: int, **columns: object) -> pd.DataFrame:
    """`count` hours of the 20 hours again and again."""
    rows = pd.concat([alarms_of(1)] * (count // HOURS + 1), ignore_index=True).iloc[:count]
    rows["time"] = pd.date_range("2024-01-01", periods=count, freq="h")
    return rows.assign(**columns)


def test_a_picture_names_its_instance_events_and_alarms():
    (picture,), left_out = timeline_pictures({"cwa": alarms_of(1), "fedavg": alarms_of(None)})

    assert left_out == 0
    assert picture.title == "week"
    assert picture.caption == "Events: leak from hour 5 to 10; theft from hour 15 to 17."
    assert "cwa: 2 episodes; fedavg: 1 episode." in picture.svg
    assert picture.svg.count(">cwa</text>") == picture.svg.count(">fedavg</text>") == 1


def test_times_are_told_in_the_unit_of_the_steps():
    """The same steps, a minute apart: the leak lasts from minute 5 to 10."""
    table = alarms_of(1)
    table["time"] = pd.date_range("2024-01-01", periods=len(table), freq="min")

    (picture,), _ = timeline_pictures({"cwa": table}, time_unit(60.0))

    assert picture.caption == "Events: leak from minute 5 to 10; theft from minute 15 to 17."
    assert ">minutes</text>" in picture.svg


def test_a_long_recording_goes_on_in_a_second_picture():
    pictures, _ = timeline_pictures({"cwa": hours(1600)})

    assert [picture.title for picture in pictures] == ["week", "week, part 2"]


def test_instances_with_events_come_first_and_at_most_thirty_are_drawn():
    """32 instances, only the last of which has an event."""
    calm = [hours(4, instance=f"calm {number}") for number in range(31)]
    table = pd.concat([*calm, alarms_of(1)])

    pictures, left_out = timeline_pictures({"cwa": table})

    assert [picture.title for picture in pictures[:2]] == ["week", "calm 0"]
    assert (len(pictures), left_out) == (30, 2)


def test_a_score_with_a_sign_is_drawn_as_well():
    """A classifier's logit has no logarithm."""
    table = alarms_of(1)
    table["score"] = 10 * table["score"] - 30  # from -25 to -10

    (picture,), _ = timeline_pictures({"cwa": table})

    labels = [float(text) for text in re.findall(r">(-?[\d.]+)</text>", picture.svg)]
    assert min(labels) < 0


def test_a_threshold_that_is_not_there_is_not_drawn():
    (with_one,), _ = timeline_pictures({"cwa": alarms_of(1)})
    (without,), _ = timeline_pictures({"cwa": alarms_of(1).assign(threshold=float("nan"))})

    assert with_one.svg.count("stroke-dasharray") == without.svg.count("stroke-dasharray") + 1


def test_thirty_pictures_of_six_strategies_stay_below_three_megabytes():
    """Three weeks by the hour whose score goes up and down without end: the longest of paths."""
    restless = 1.0 + (pd.RangeIndex(504) * 7919 % 504) / 504
    table = hours(504, score=restless)

    (picture,), _ = timeline_pictures({f"method-{number}": table for number in range(6)})

    assert 30 * len(picture.svg.encode()) < 2_800_000


def test_an_event_of_minutes_has_a_begin_and_an_end_that_differ():
    """The same 20 steps by the minute: the leak is steps 5 to 9, so minutes 5 to 10."""
    table = alarms_of(1)
    table["time"] = table["time"].iloc[0] + pd.to_timedelta(range(len(table)), unit="min")

    (picture,), _ = timeline_pictures({"cwa": table})

    assert "leak from hour 0.083 to 0.167" in picture.caption
