"""A twin of one Python function: scenario in, readings out."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from twin.base import Scenario, Surroundings
from twin.errors import ScenarioError, TwinError
from twin.planning import EventKind, labelled, plan_scenarios, rows_of
from twin.schema import Schema

__all__ = ["FunctionTwin", "FunctionTwinOptions"]

Simulate = Callable[[Scenario, Schema], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class FunctionTwinOptions:
    """What makes a `FunctionTwin`: ``function = "pkg.module:name"``."""

    function: str = ""


class FunctionTwin:
    """Simulates by ``simulate(scenario, schema)``, which returns a column per channel.

    The function returns one row per period of `schema`, the first at the scenario's start, and
    draws all that is random from a generator seeded by ``scenario.seed``. It applies the
    scenario's events; labels are made of them here. Which kinds of event it knows stands in its
    attribute ``kinds``, a sequence of `EventKind`; without one it simulates none.

    Parameters
    ----------
    function : its import path, ``pkg.module:name``: a path, so that other processes find it too.
    schema : the sites' channels, units and period.

    Raises TwinError when it cannot be imported or called.
    """

    Options = FunctionTwinOptions

    def __init__(self, function: str, schema: Schema) -> None:
        self._path, self._schema = function, schema
        self._function()

    @classmethod
    def from_options(cls, options: FunctionTwinOptions, around: Surroundings) -> FunctionTwin:
        """Build the twin of the function that the options name."""
        return cls(options.function, around.schema)

    @property
    def schema(self) -> Schema:
        """The sites' channels, units and period."""
        return self._schema

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of event that the function knows."""
        return tuple(kind.name for kind in self._event_kinds())

    def fingerprint(self) -> str:
        """Digest of the schema and of the source of the function's whole module."""
        module = inspect.getmodule(self._function())
        text = f"{self._path}\n{self._schema.digest()}\n{inspect.getsource(module)}"  # type: ignore[arg-type] # imported, so it has one
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def plan(self, count: int, hours: int, seed: int, families: Sequence[str]) -> list[Scenario]:
        """Draw scenarios with one event of `families` each (`plan_scenarios`)."""
        return plan_scenarios(self._event_kinds(), count, hours, seed, families)

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        """Call the function and label what it returns.

        Raises ScenarioError when it fails, TwinError when it returns other than a row per period
        and a column per channel.
        """
        try:
            readings = self._function()(scenario, self._schema)
        except (ArithmeticError, ValueError, RuntimeError) as error:
            raise ScenarioError(
                f"{self._path}, scenario {scenario.name!r}: {type(error).__name__}: {error}"
            ) from error
        wanted = rows_of(scenario, self._schema)
        found = list(readings.columns) if isinstance(readings, pd.DataFrame) else type(readings)
        if not isinstance(readings, pd.DataFrame) or not set(self._schema.names) <= set(readings):
            raise TwinError(
                f"{self._path} returns {found}; expected a table with the columns "
                f"{self._schema.names}"
            )
        if len(readings) != wanted:
            raise TwinError(
                f"{self._path} returns {len(readings)} rows for {scenario.hours} hours; expected "
                f"{wanted}, one every {self._schema.period_s:g} s"
            )
        return labelled(readings, scenario, self._schema)

    def _event_kinds(self) -> Sequence[EventKind]:
        kinds: Sequence[EventKind] = getattr(self._function(), "kinds", ())
        return kinds

    def _function(self) -> Simulate:
        module, _, name = self._path.partition(":")
        try:
            found: Simulate = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise TwinError(
                f"the twin's function {self._path!r} cannot be imported ({error}); expected "
                'function = "pkg.module:name" of a module that Python can import here'
            ) from error
        if not callable(found):
            raise TwinError(
                f"the twin's function {self._path!r} is {found!r}, which is no function"
            )
        return found
