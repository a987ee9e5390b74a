"""What a digital twin is to the rest of the app: named scenarios in, labelled series out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import pandas as pd

from twin.schema import Schema

__all__ = ["Event", "EventfulTwin", "FittedTwin", "Scenario", "Surroundings", "Twin", "TwinFactory"]


@dataclass(frozen=True, slots=True)
class Event:
    """One attack or fault within a scenario.

    Parameters
    ----------
    kind : name of the event kind, as registered by the twin.
    target : the asset or channel it acts on, e.g. "T1", "PU7", "L_T4".
    start_h, hours : first hour and duration, in hours from the scenario's start; > 0.
    strength : size in the unit the kind documents.
    conceal : how recorded channels are rewritten afterwards: "", "replay", "constant",
        "offset" or "ramp".
    """

    kind: str
    target: str
    start_h: int
    hours: int
    strength: float = 0.0
    conceal: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One stretch to simulate: its length, its seed and the events in it.

    The same scenario gives the same series bit for bit.
    """

    name: str
    hours: int
    seed: int
    events: tuple[Event, ...] = field(default=())


@runtime_checkable
class Twin(Protocol):
    """A source of labelled synthetic series in one schema."""

    @property
    def schema(self) -> Schema:
        """Channels, units and sampling period of the series."""
        ...

    def fingerprint(self) -> str:
        """Digest of everything but the scenario that determines the output."""
        ...

    def plan(self, count: int, hours: int, seed: int, families: Sequence[str]) -> list[Scenario]:
        """Draw `count` scenarios of `hours` each; `families` are the event kinds to use."""
        ...

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        """Run one scenario and return its labelled series (see ``twin.schema``).

        Raises ScenarioError when the physics do not converge.
        """
        ...


@runtime_checkable
class EventfulTwin(Protocol):
    """A twin that says which events it can simulate; one that does not simulates none."""

    @property
    def kinds(self) -> Sequence[str]:
        """Names of the kinds of event that ``Twin.plan`` takes as families, in a fixed order."""
        ...


@runtime_checkable
class FittedTwin(Protocol):
    """A twin that can be fitted to what a plant recorded (``dtfl twin calibrate``)."""

    def calibrate(self, plant: pd.DataFrame) -> tuple[str, pd.DataFrame]:
        """Fit it to a plant's normal operation, a labelled series in its schema.

        Returns the text of a file that its options can name from then on, and a table of what was
        fitted, before and after. Raises DataError for a series that tells too little.
        """
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a twin that is named in an app's settings is told beside its options.

    Parameters
    ----------
    schema : the sites' channels, units and period. A twin of one plant has a schema of its own,
        which must be the same in these; one of any plant takes this one.
    folder : where the files are that its options name by a relative path.
    """

    schema: Schema
    folder: Path


class TwinFactory(Protocol):
    """A class of twins that an app's settings can name: how one is made of options.

    ``Options`` is a frozen dataclass whose fields all have defaults; left out where there are none.
    """

    Options: ClassVar[type]

    def from_options(self, options: Any, around: Surroundings) -> Twin:  # noqa: ANN401 - Options
        """Build the twin; a class method."""
        ...
