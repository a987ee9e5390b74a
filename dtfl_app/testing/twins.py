"""Does a twin keep what the app relies on?"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd

from dtfl_app.testing.findings import Findings
from twin.base import Scenario, Twin
from twin.schema import ABNORMAL, EVENT, LABEL, TIME

__all__ = ["check_twin"]


def check_twin(twin: Twin, families: Sequence[str] = (), hours: int = 48) -> list[str]:
    """Simulate a few short scenarios, and hold them against all that the app promises of a twin.

    A plan and a scenario repeat bit for bit, here and in another process, and another seed gives
    another series; series keep to the schema (columns, ranges, period, times, labels, nothing
    missing); a twin can be pickled and then is the same; events change nothing before they begin,
    and rows are labelled while one lasts.

    Parameters
    ----------
    twin : what is checked.
    families : kinds of event that it can simulate; () = checks of events are left out.
    hours : length of each scenario, long enough for an event.

    Returns the promises that were tried. Raises AssertionError with those that are broken.
    """
    found = Findings(f"twin {type(twin).__name__}")
    with found.trying("it has the methods of twin.base.Twin"):
        assert isinstance(twin, Twin), "schema, fingerprint, plan and simulate are expected"
    with found.trying("the same seed gives the same plan, another one another"):
        _require_repeatable_plan(twin, families, hours)
    with found.trying("a plan can be simulated"):
        scenario, other = twin.plan(2, hours, 1, families)
        series = twin.simulate(scenario)
        with found.trying("a series keeps to the schema, complete and in even steps"):
            _require_series(twin, series, scenario)
        with found.trying("the same scenario gives the same series, another seed another"):
            assert series.equals(twin.simulate(scenario)), "two simulations of one scenario differ"
            unlike = not series[twin.schema.names].equals(
                twin.simulate(replace(scenario, seed=scenario.seed + 1))[twin.schema.names]
            )
            assert unlike, "a scenario of another seed gives the same readings"
        with found.trying("it can be pickled, and then is the same twin"):
            copy: Twin = pickle.loads(pickle.dumps(twin))
            assert copy.fingerprint() == twin.fingerprint(), "its copy has another fingerprint"
        with found.trying("another process simulates the same"):
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                there = pool.submit(_simulate, twin, scenario).result()
            assert series.equals(there), "the series of another process differs"
        if families:
            with found.trying("every family of events is planned and simulated"):
                for family in families:
                    _require_events(twin, family, hours)
        with found.trying("scenarios of a plan have names of their own"):
            assert scenario.name != other.name, f"two are called {scenario.name!r}"
    return found.conclude()


def _simulate(twin: Twin, scenario: Scenario) -> pd.DataFrame:
    return twin.simulate(scenario)


def _require_repeatable_plan(twin: Twin, families: Sequence[str], hours: int) -> None:
    first, again = (twin.plan(3, hours, 5, families) for _ in range(2))
    assert first == again, "two plans of one seed differ"
    assert len(first) == 3, f"{len(first)} scenarios planned, 3 asked for"
    assert first != twin.plan(3, hours, 6, families), "another seed gives the same plan"


def _require_series(twin: Twin, series: pd.DataFrame, scenario: Scenario) -> None:
    schema = twin.schema
    schema.validate(series, f"scenario {scenario.name}")
    gaps = int(series[schema.names].isna().to_numpy().sum())
    assert not gaps, f"{gaps} readings are missing"
    steps = np.unique(np.diff(series[TIME].to_numpy()) / np.timedelta64(1, "s"))
    assert steps.tolist() == [schema.period_s], f"steps of {steps} s, expected {schema.period_s} s"
    wanted = scenario.hours * 3600 / schema.period_s
    assert abs(len(series) - wanted) <= 1, f"{len(series)} rows, expected about {wanted:g}"


def _require_events(twin: Twin, family: str, hours: int) -> None:
    """Hold a scenario with events of one family against the same without them."""
    scenario = next((s for s in twin.plan(5, hours, 3, [family]) if s.events), None)
    assert scenario is not None, f"none of 5 scenarios planned for {family!r} has an event"
    attacked, quiet = twin.simulate(scenario), twin.simulate(replace(scenario, events=()))
    names, per_hour = twin.schema.names, 3600 / twin.schema.period_s
    begin = int(min(event.start_h for event in scenario.events) * per_hour)
    before = attacked[names].iloc[:begin].equals(quiet[names].iloc[:begin])
    assert before, f"{family!r}: readings differ before the event begins"
    early = (attacked[LABEL].iloc[:begin] == ABNORMAL).any()
    assert not early, f"{family!r}: rows before the event are labelled abnormal"
    labelled = attacked[LABEL].to_numpy() == ABNORMAL
    assert labelled.any(), f"{family!r}: no row is labelled abnormal"
    assert (attacked[EVENT].to_numpy()[labelled] != "").all(), f"{family!r}: an event has no name"
    assert (quiet[LABEL] == 0).all(), "without events, rows are labelled abnormal"
