"""A Python function as a twin."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.testing.twins import check_twin
from twin.errors import ScenarioError, TwinError
from twin.function import FunctionTwin
from twin.planning import EventKind
from twin.schema import Channel, Schema

TANK = Schema(
    "tank",
    (Channel("level", "m", "level", -50.0, 50.0), Channel("flow", "L/s", "flow", -50.0, 50.0)),
    period_s=1800.0,
)


def tank(scenario, schema):
    """What flows in changes the level; a leak takes its strength away."""
    rows = int(scenario.hours * 3600 / schema.period_s)
    flow = np.random.default_rng(scenario.seed).normal(size=rows)
    hours, net = np.arange(rows) * schema.period_s / 3600, flow.copy()
    for event in scenario.events:
        net[(hours >= event.start_h) & (hours < event.start_h + event.hours)] -= event.strength
    return pd.DataFrame({"level": 0.1 * np.cumsum(net), "flow": flow})


tank.kinds = (EventKind("leak", ("tank",), (2, 6), (0.5, 1.0)),)


def short(scenario, schema):
    return tank(scenario, schema).iloc[1:]


def narrow(scenario, schema):
    return tank(scenario, schema)[["level"]]


def failing(scenario, schema):
    raise ArithmeticError("no solution at 3 h")


def named(function):
    return FunctionTwin(f"tests.twin.test_function:{function}", TANK)


def test_it_keeps_all_that_the_app_promises_of_a_twin():
    twin = named("tank")

    assert len(check_twin(twin, ["leak"])) == 9
    assert twin.kinds == ("leak",)


def test_rows_of_an_event_are_labelled_with_its_name():
    scenario = named("tank").plan(1, 48, 4, ["leak"])[0]
    (event,) = scenario.events

    series = named("tank").simulate(scenario)

    during = series[series["label"] == 1]
    assert len(during) == 2 * event.hours
    assert set(during["event"]) == {"leak:tank#0"}
    assert (during["time"].iloc[0] - series["time"].iloc[0]).total_seconds() == 3600 * event.start_h


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("short", "returns 95 rows for 48 hours; expected 96, one every 1800 s"),
        ("narrow", r"returns \['level'\]; expected a table with the columns \['level', 'flow'\]"),
        ("absent", "'tests.twin.test_function:absent' cannot be imported"),
        ("TANK", "which is no function"),
    ],
)
def test_a_function_that_will_not_do_is_one_clear_error(function, told):
    with pytest.raises(TwinError, match=told):
        named(function).simulate(named("tank").plan(1, 48, 0, [])[0])


def test_a_solver_that_fails_loses_its_scenario_alone():
    with pytest.raises(ScenarioError, match="failing, scenario 's0000': ArithmeticError: no sol"):
        named("failing").simulate(named("tank").plan(1, 48, 0, [])[0])


def test_a_function_without_kinds_simulates_no_event():
    with pytest.raises(TwinError, match=r"no event of kind 'leak'; expected some of \[\]"):
        named("short").plan(1, 48, 0, ["leak"])
