"""From scenarios to a cached data set."""

import json
import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import ScenarioError, TwinError
from twin.base import Scenario
from twin.dataset import build_dataset
from twin.schema import Channel, Schema


class WalkTwin:
    """A random walk; scenarios named "fail..." do not converge."""

    schema = Schema("walk", (Channel("x", "m", "level", -1e6, 1e6),), period_s=3600)

    def __init__(self, step: float = 1.0) -> None:
        self.step = step
        self.simulated: list[str] = []

    def fingerprint(self) -> str:
        return f"walk-{self.step}"

    def plan(self, count, hours, seed, families):
        return [Scenario(f"s{i}", hours, seed + i) for i in range(count)]

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        self.simulated.append(scenario.name)
        if scenario.name.startswith("fail"):
            raise ScenarioError(f"{scenario.name} did not converge")
        rng = np.random.default_rng(scenario.seed)
        return pd.DataFrame(
            {
                "instance": scenario.name,
                "time": pd.date_range("2020-01-01", periods=scenario.hours, freq="h", unit="ns"),
                "x": np.cumsum(rng.normal(size=scenario.hours)) * self.step,
                "label": np.int8(0),
                "event": "",
            }
        )


@dataclass
class Report:
    warnings: dict[str, int]


class WarningTwin(WalkTwin):
    """Its solver warns twice per scenario."""

    def simulate_with_report(self, scenario: Scenario) -> tuple[pd.DataFrame, Report]:
        return self.simulate(scenario), Report({"negative pressures": 2})


PLAN = [Scenario("s0", 24, 5), Scenario("fail1", 24, 6), Scenario("s2", 12, 7)]


def test_parallel_equals_serial_bit_for_bit(tmp_path):
    serial = build_dataset(WalkTwin(), PLAN, tmp_path / "serial", workers=1)
    parallel = build_dataset(WalkTwin(), PLAN, tmp_path / "parallel", workers=2)

    assert serial.path.name == parallel.path.name
    assert serial.path.read_bytes() == parallel.path.read_bytes()
    pd.testing.assert_frame_equal(serial.series, parallel.series, check_exact=True)


def test_series_come_in_plan_order_and_failed_scenarios_are_named(tmp_path, caplog):
    """Two scenarios run, 24 + 12 rows; the failed one gives no row."""
    with caplog.at_level(logging.WARNING):
        built = build_dataset(WalkTwin(), PLAN, tmp_path)

    assert list(built.series["instance"].unique()) == ["s0", "s2"]
    assert len(built.series) == 36
    assert built.dropped == {"fail1": "fail1 did not converge"}
    assert built.hours_per_second > 0
    assert "scenario 'fail1' dropped: fail1 did not converge" in caplog.text


def test_solver_warnings_of_the_scenarios_that_ran_are_added_up(tmp_path):
    """Two of three scenarios run, with 2 warnings each: 4."""
    built = build_dataset(WarningTwin(), PLAN, tmp_path)

    assert built.solver_warnings == {"negative pressures": 4}
    assert build_dataset(WarningTwin(), PLAN, tmp_path).solver_warnings == built.solver_warnings


def test_the_json_beside_the_data_holds_the_plan(tmp_path):
    built = build_dataset(WalkTwin(), PLAN, tmp_path)

    record = json.loads(built.path.with_suffix(".json").read_text())

    assert [s["name"] for s in record["plan"]] == ["s0", "fail1", "s2"]
    assert record["dropped"] == dict(built.dropped)
    assert {p.name for p in tmp_path.iterdir()} == {built.path.name, built.path.stem + ".json"}


def test_progress_is_told_once_per_scenario(tmp_path):
    told: list[tuple[int, int]] = []

    build_dataset(WalkTwin(), PLAN, tmp_path, on_progress=lambda *seen: told.append(seen))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_second_build_simulates_nothing(tmp_path):
    first = build_dataset(WalkTwin(), PLAN, tmp_path)
    twin = WalkTwin()

    second = build_dataset(twin, PLAN, tmp_path)

    assert (first.from_cache, second.from_cache) == (False, True)
    assert twin.simulated == []
    assert second.dropped == first.dropped
    assert second.hours_per_second == first.hours_per_second
    pd.testing.assert_frame_equal(first.series, second.series, check_exact=True)


def test_another_twin_or_plan_is_another_file(tmp_path):
    paths = {
        build_dataset(WalkTwin(), PLAN, tmp_path).path,
        build_dataset(WalkTwin(step=2.0), PLAN, tmp_path).path,
        build_dataset(WalkTwin(), PLAN[:1], tmp_path).path,
        build_dataset(WalkTwin(), [Scenario("s0", 24, 6)], tmp_path).path,
    }

    assert len(paths) == 4


@pytest.mark.parametrize("damage", ["truncated", "one bit", "no record", "broken record"])
def test_a_corrupt_cache_is_reported_and_rebuilt(tmp_path, caplog, damage):
    first = build_dataset(WalkTwin(), PLAN, tmp_path)
    content, record = bytearray(first.path.read_bytes()), first.path.with_suffix(".json")
    if damage == "truncated":
        first.path.write_bytes(content[: len(content) // 2])
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        first.path.write_bytes(content)
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text('{"sha256": ')

    with caplog.at_level(logging.WARNING):
        again = build_dataset(WalkTwin(), PLAN, tmp_path)

    assert "is unusable" in caplog.text
    assert not again.from_cache
    pd.testing.assert_frame_equal(first.series, again.series, check_exact=True)
    assert build_dataset(WalkTwin(), PLAN, tmp_path).from_cache


def test_all_scenarios_failing_is_an_error_and_leaves_no_file(tmp_path):
    plan = [Scenario("fail0", 1, 0), Scenario("fail1", 1, 0)]

    with pytest.raises(TwinError, match=r"all 2 scenarios failed.*fail0 did not converge"):
        build_dataset(WalkTwin(), plan, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("plan", "workers", "message"),
    [
        ([], 1, "at least one scenario"),
        ([PLAN[0], PLAN[0]], 1, r"repeated names \['s0'\]"),
        (PLAN, 0, "at least 1 process"),
    ],
)
def test_an_impossible_request_is_refused(tmp_path, plan, workers, message):
    with pytest.raises(TwinError, match=message):
        build_dataset(WalkTwin(), plan, tmp_path, workers)


class DoublingTwin(WalkTwin):
    """Forgets to name its instances."""

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        return super().simulate(scenario).assign(instance="same")


def test_a_twin_that_repeats_an_instance_name_is_refused(tmp_path):
    with pytest.raises(TwinError, match="same instance name"):
        build_dataset(DoublingTwin(), [PLAN[0], PLAN[2]], tmp_path)


class DividingTwin(WalkTwin):
    """Its arithmetic fails in the second scenario, as a solver's may."""

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        if scenario.name == "s1":
            raise ZeroDivisionError("no flow to divide by")
        return super().simulate(scenario)


def test_a_scenario_whose_arithmetic_fails_is_counted_and_named_too(tmp_path):
    built = build_dataset(DividingTwin(), DividingTwin().plan(3, 4, 0, ()), tmp_path)

    assert built.dropped == {"s1": "ZeroDivisionError: no flow to divide by"}
    assert list(built.series["instance"].unique()) == ["s0", "s2"]


class TableTwin(WalkTwin):
    """Gives the readings alone."""

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        return super().simulate(scenario)[["x"]]


def test_a_twin_whose_table_lacks_columns_is_refused(tmp_path):
    with pytest.raises(
        TwinError, match=r"scenario 's0' gives \['x'\]; expected a table of \['inst"
    ):
        build_dataset(TableTwin(), [PLAN[0]], tmp_path)


class HoldingTwin(WalkTwin):
    """Holds what no other process can be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.change = lambda level: -level


def test_a_twin_that_cannot_be_sent_to_processes_says_so(tmp_path):
    with pytest.raises(TwinError, match=r"HoldingTwin cannot be sent to the processes .*workers=1"):
        build_dataset(HoldingTwin(), [PLAN[0], PLAN[2]], tmp_path, workers=2)

    assert len(build_dataset(HoldingTwin(), [PLAN[0], PLAN[2]], tmp_path).series) == 36
