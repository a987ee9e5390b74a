"""Figures by family of event: those that the twin simulates, and those held out from it.

A supervised detector may owe its figures to a twin that was given the very attacks it is judged by.
The protocol "unseen-families" therefore holds some families out, and judges both groups apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.metrics import Metrics, evaluate_scores
from dtfl_app.sites.catalogue import find_dataset
from twin.ctown.events import KINDS

__all__ = ["HELD_OUT", "SIMULATED", "UNKNOWN", "EventGroups", "event_groups"]

SIMULATED, HELD_OUT, UNKNOWN = "simulated", "held-out", "unknown"


@dataclass(frozen=True, slots=True)
class EventGroups:
    """The two groups of an evaluation's events.

    Parameters
    ----------
    family_of : event -> its family; "" for an event of no known family, which makes a third group.
    held_out : families that neither the twin simulates nor a site holds.
    """

    family_of: Callable[[str], str]
    held_out: frozenset[str]

    def group_of(self, event: str) -> str:
        """Return the group of an event."""
        family = self.family_of(event)
        if not family:
            return UNKNOWN
        return HELD_OUT if family in self.held_out else SIMULATED

    def metrics(self, alarms: pd.DataFrame, step_s: float) -> dict[str, Metrics]:
        """Return the figures of each group that has events, simulated families first.

        A group is judged on all normal time steps and on those of its own events: steps of other
        groups' events count neither as found nor as false alarms.

        Parameters
        ----------
        alarms : columns label, event, score and threshold, a row per time step, as stored in
            ``alarms/``; one threshold throughout.
        step_s : seconds between time steps.
        """
        events = alarms["event"].fillna("")
        group = events.map(lambda event: self.group_of(event) if event else "")
        found = [name for name in (SIMULATED, HELD_OUT, UNKNOWN) if (group == name).any()]
        return {name: _metrics(alarms[group.isin(["", name])], step_s) for name in found}


def event_groups(config: RunConfig) -> EventGroups | None:
    """Return the groups of a run with protocol "unseen-families"; None with any other.

    Raises ConfigError when a family of C-Town's is unknown, and where a data set of other plants
    leaves open which are held out.
    """
    if config.data.protocol != "unseen-families":
        if config.data.unseen_families:
            raise ConfigError(
                f"run config: data.unseen-families = {config.data.unseen_families!r} has no part "
                f"in data.protocol = {config.data.protocol!r}; leave it empty, or set "
                'data.protocol="unseen-families"'
            )
        return None
    dataset = find_dataset(config.run.dataset)
    unknown = sorted(set(config.data.unseen_kinds) - set(KINDS))
    if dataset.scored and unknown:
        raise ConfigError(
            f"run config: data.unseen-families has {unknown}; expected some of {list(KINDS)}, "
            "separated by commas"
        )
    if not dataset.scored and not config.data.unseen_families:
        raise ConfigError(
            f"run config: data.protocol = {config.data.protocol!r} on dataset = "
            f"{config.run.dataset!r} needs data.unseen-families: kinds of its events, separated "
            "by commas"
        )
    return EventGroups(dataset.family_of, frozenset(config.data.unseen_kinds))


def _metrics(alarms: pd.DataFrame, step_s: float) -> Metrics:
    return evaluate_scores(
        alarms["score"].to_numpy(),
        float(alarms["threshold"].iloc[0]),
        alarms["label"].to_numpy(),
        alarms["event"].fillna("").to_numpy(dtype=str),
        step_s,
    )
