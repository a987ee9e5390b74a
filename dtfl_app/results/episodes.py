"""Alarms as episodes, runs of steps with an alarm, as `dtfl detect` tells them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.results.measures import step_seconds

__all__ = ["AlarmEpisode", "alarm_episodes", "episode_starts"]

# Of the usual step: a longer one is a gap, and no episode lasts across it.
_LONGEST_STEP = 1.5


@dataclass(frozen=True, slots=True)
class AlarmEpisode:
    """A run of steps with an alarm in one recording.

    Parameters
    ----------
    instance : the recording.
    begin, end : times of its first and last step.
    steps : how many there are.
    peak : its highest score over the threshold.
    event : the event that its first labelled step is of; "" where it meets none.
    channel : the channel that stands out at its peak.
    """

    instance: str
    begin: pd.Timestamp
    end: pd.Timestamp
    steps: int
    peak: float
    event: str
    channel: str


def episode_starts(alarms: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which of the n steps of a table of alarms begin an episode.

    Parameters
    ----------
    alarms : a row per time step, with columns instance, time and alarm, as a run stores it.
    """
    alarm, instance = alarms["alarm"].to_numpy(bool), alarms["instance"].to_numpy(str)
    steps_s = np.diff(alarms["time"].to_numpy("datetime64[ns]")) / np.timedelta64(1, "s")
    same = instance[1:] == instance[:-1]
    goes_on = alarm[:-1] & same & (steps_s <= _LONGEST_STEP * step_seconds(alarms))
    return np.asarray(alarm & ~np.concatenate([[False], goes_on])[: len(alarm)])


def alarm_episodes(alarms: pd.DataFrame) -> list[AlarmEpisode]:
    """Return the episodes of a table of alarms, in its order; columns as a run stores them."""
    alarms = alarms.reset_index(drop=True)
    number = episode_starts(alarms).cumsum()
    raised = alarms["alarm"].to_numpy(bool)
    return [_episode(rows) for _, rows in alarms[raised].groupby(number[raised])]


def _episode(rows: pd.DataFrame) -> AlarmEpisode:
    events = [name for name in rows["event"].fillna("").astype(str) if name]
    highest = int(rows["score"].to_numpy().argmax())
    score, threshold = (float(rows[name].iloc[highest]) for name in ("score", "threshold"))
    return AlarmEpisode(
        instance=str(rows["instance"].iloc[0]),
        begin=pd.Timestamp(rows["time"].iloc[0]),
        end=pd.Timestamp(rows["time"].iloc[-1]),
        steps=len(rows),
        peak=score / threshold if threshold else score,
        event=events[0] if events else "",
        channel=str(rows["channel"].iloc[highest]),
    )
