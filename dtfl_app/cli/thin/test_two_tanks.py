"""The physics of two_tanks.py, and what an app asks of a twin."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from two_tanks import SCHEMA, TwoTanks, TwoTanksOptions

from dtfl_app.testing.twins import check_twin
from twin.base import Surroundings, Twin
from twin.dataset import build_dataset


def twin(**options):
    return TwoTanks.from_options(TwoTanksOptions(**options), Surroundings(SCHEMA, Path()))


def test_it_keeps_all_that_the_app_promises_of_a_twin():
    check_twin(twin(), ["leak"], hours=8)


def test_it_is_a_twin_whose_series_fit_its_schema(tmp_path):
    made = twin()

    built = build_dataset(made, made.plan(2, 4, seed=0, families=["leak"]), tmp_path)

    assert isinstance(made, Twin)
    assert (len(built.series), dict(built.dropped)) == (480, {})
    assert set(built.series["label"]) == {0, 1}


def test_the_same_scenario_gives_the_same_rows_and_another_seed_others():
    (scenario,) = twin().plan(1, 4, seed=0, families=[])

    first, again = twin().simulate(scenario), twin().simulate(scenario)

    assert first.equals(again)
    assert not first.equals(twin().simulate(replace(scenario, seed=1)))


def test_an_event_changes_nothing_before_it_begins():
    _, leaking = twin().plan(2, 4, seed=0, families=["leak"])
    start = 60 * leaking.events[0].start_h

    with_leak, without = twin().simulate(leaking), twin().simulate(replace(leaking, events=()))

    assert with_leak["upper"][:start].equals(without["upper"][:start])
    assert with_leak["upper"][start + 60] < without["upper"][start + 60] - 0.1


def test_at_a_steady_inflow_as_much_flows_out_as_in():
    """Three L/s leave a valve of 1.5 at a level of (3 / 1.5)^2 = 4 m; the wave is one of 1 L/s."""
    (scenario,) = twin().plan(1, 24, seed=0, families=[])
    series = twin().simulate(scenario)

    stored = 0.5 * (series["upper"].iloc[-1] - 4.0 + series["lower"].iloc[-1] - 4.0) / 0.01 / 1440
    out = (1.5 * np.sqrt(series["lower"])).mean()

    assert out + stored == pytest.approx(series["inflow"].mean(), rel=1e-3)


def test_other_options_are_another_twin():
    assert twin().fingerprint() == twin().fingerprint() != twin(valve=1.6).fingerprint()
