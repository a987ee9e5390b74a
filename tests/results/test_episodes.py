"""Alarms of a stored table as episodes."""

import numpy as np
import pandas as pd

from dtfl_app.results.episodes import alarm_episodes, episode_starts
from tests.support.run_folder import alarms_of


def test_an_episode_is_a_run_of_steps_with_an_alarm():
    """Hour 2 alone, and hours 6 to 9 of the leak; the last one has the highest score, 6 of 1."""
    table = alarms_of(first_alarm=1)
    table.loc[9, "score"] = 6.0

    lone, leak = alarm_episodes(table)

    assert (lone.begin, lone.end, lone.steps) == (*[pd.Timestamp("2024-01-01 02:00")] * 2, 1)
    assert (lone.event, lone.peak) == ("", 2.0)
    assert (leak.begin, leak.end) == (
        pd.Timestamp("2024-01-01 06:00"), pd.Timestamp("2024-01-01 09:00"),
    )  # fmt: skip
    assert (leak.instance, leak.steps, leak.event) == ("week", 4, "leak")
    assert (leak.peak, leak.channel) == (6.0, "F_PU1")


def test_an_episode_ends_where_its_recording_does_and_at_a_gap():
    """Alarms in hours 6 to 9: from hour 8 of another recording; or hour 8 comes a day late."""
    table = alarms_of(first_alarm=1)
    other, late = table.copy(), table.copy()
    other.loc[8:, "instance"] = "next"
    late.loc[8:, "time"] += pd.Timedelta(days=1)

    for parted in (other, late):
        assert np.flatnonzero(episode_starts(parted)).tolist() == [2, 6, 8]
        assert [episode.steps for episode in alarm_episodes(parted)] == [1, 2, 2]


def test_without_alarms_there_are_none():
    table = alarms_of(first_alarm=None).query("not alarm")

    assert alarm_episodes(table) == []
    assert episode_starts(table.head(1)).tolist() == [False]
