"""The C-Town twin keeps every promise, and a twin that breaks one is told which."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.testing.twins import check_twin
from tests.support.networks import NET1
from twin.base import Event, Scenario
from twin.ctown.defaults import default_plant
from twin.ctown.simulate import CTownTwin
from twin.epanet.simulate import EpanetTwin
from twin.schema import Channel, Schema

TANK = Schema("tank", (Channel("level", "m", "level", -10.0, 40.0),), period_s=3600.0)


@dataclass(frozen=True)
class Tank:
    """A level that an event raises by its strength; `early` hours before it begins."""

    early: int = 0
    unseeded: bool = False
    gap: bool = False
    high: bool = False

    @property
    def schema(self) -> Schema:
        return TANK

    def fingerprint(self) -> str:
        return f"tank-{self.early}"

    def plan(self, count, hours, seed, families):
        events = tuple(Event(kind, "tank", hours // 2, 4, 3.0) for kind in families)
        return [Scenario(f"s{i}", hours, 100 * seed + i, events) for i in range(count)]

    def simulate(self, scenario):
        rng = np.random.default_rng(None if self.unseeded else scenario.seed)
        level, label = rng.normal(size=scenario.hours), np.zeros(scenario.hours, np.int8)
        event = np.full(scenario.hours, "", dtype=object)
        for one in scenario.events:
            during = slice(one.start_h - self.early, one.start_h + one.hours)
            level[during] += 100.0 if self.high else one.strength
            label[one.start_h : one.start_h + one.hours] = 1
            event[one.start_h : one.start_h + one.hours] = one.kind
        if self.gap:
            level[3] = np.nan
        hours = np.arange(scenario.hours) * np.timedelta64(1, "h")
        return pd.DataFrame(
            {
                "instance": scenario.name,
                "time": np.datetime64("2024-01-01", "ns") + hours,
                "level": level,
                "label": label,
                "event": event,
            }
        )


def test_the_c_town_twin_keeps_all_promises():
    kept = check_twin(CTownTwin(default_plant("")), ["forced_off"], hours=72)

    assert "every family of events is planned and simulated" in kept


def test_the_twin_of_an_epanet_network_keeps_all_promises():
    twin = EpanetTwin(NET1)

    assert len(check_twin(twin, ["forced_off", "leak"], hours=72)) == 9


def test_a_small_twin_of_ones_own_keeps_all_promises():
    assert len(check_twin(Tank(), ["surge"])) == 9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"early": 2}, "'surge': readings differ before the event begins"),
        ({"gap": True}, "1 readings are missing"),
        ({"high": True}, "'surge'|outside"),
        ({"unseeded": True}, "two simulations of one scenario differ"),
    ],
)
def test_a_broken_promise_is_named(change, told):
    with pytest.raises(AssertionError, match=told):
        check_twin(replace(Tank(), **change), ["surge"])


def test_what_is_no_twin_is_told_so():
    with pytest.raises(AssertionError, match="schema, fingerprint, plan and simulate"):
        check_twin(object())
