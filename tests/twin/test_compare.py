"""Distance between a twin's series and a plant's."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from twin.compare import compare, exceptions, forest_auc, summarise
from twin.schema import Channel, Schema

SCHEMA = Schema(
    "pump",
    (
        Channel("L_T1", "m", "level", 0, 100),
        Channel("F_PU1", "L/s", "flow", -10, 100),
        Channel("S_PU1", "1", "status", 0, 1),
    ),
    period_s=3600,
)


def series(level, flow=None, status=None) -> pd.DataFrame:
    rows = len(level)
    return pd.DataFrame(
        {
            "instance": "a",
            "time": pd.date_range("2020-01-06", periods=rows, freq="h", unit="ns"),
            "L_T1": np.asarray(level, dtype=float),
            "F_PU1": 0.0 if flow is None else flow,
            "S_PU1": 0.0 if status is None else status,
            "label": np.int8(0),
            "event": "",
        }
    )


def test_mean_and_sd_are_compared_relative_to_the_plant():
    """Twin 1..3: mean 2, sd 1; plant 2, 4, 6: mean 4, sd 2: both errors 1/2 - 1 = -0.5.
    Distribution functions differ most from 3 to 4, 3/3 against 1/3: KS = 2/3."""
    table = compare(series([1, 2, 3]), series([2, 4, 6]), SCHEMA)

    row = table.loc["L_T1"]
    assert (row["twin_mean"], row["plant_mean"], row["mean_error"]) == (2, 4, -0.5)
    assert (row["twin_sd"], row["plant_sd"], row["sd_error"]) == (1, 2, -0.5)
    assert row["ks"] == pytest.approx(2 / 3)
    assert row[["kind", "unit"]].tolist() == ["level", "m"]


def test_a_flow_counts_while_its_pump_runs():
    """Twin runs in two of four hours, at 10 and 12: mean 11. Plant runs in all, at 11 and 13."""
    twin = series([1] * 4, flow=[10.0, 0, 12, 0], status=[1.0, 0, 1, 0])
    plant = series([1] * 4, flow=[11.0, 13, 11, 13], status=[1.0] * 4)

    row = compare(twin, plant, SCHEMA).loc["F_PU1"]

    assert (row["twin_n"], row["plant_n"]) == (2, 4)
    assert (row["twin_mean"], row["plant_mean"]) == (11, 12)
    assert row["ks"] == pytest.approx(0.75)  # of all readings: at 10.99, 3/4 against 0


def test_equal_series_have_no_distance_and_no_exceptions():
    same = series(np.arange(100.0) % 10, flow=20 + np.arange(100.0) % 3, status=1.0)

    table = compare(same, same, SCHEMA)

    assert table[["mean_error", "sd_error", "ks"]].to_numpy() == pytest.approx(0)
    assert exceptions(table).empty


def test_missing_readings_are_left_out():
    table = compare(series([1, np.nan, 3]), series([1, 3, np.nan]), SCHEMA)

    assert table.loc["L_T1", ["twin_n", "plant_n", "mean_error"]].tolist() == [2, 2, 0]


def exceptions_of(twin: pd.DataFrame, plant: pd.DataFrame) -> list[str]:
    return exceptions(compare(twin, plant, SCHEMA)).index.tolist()


def test_a_channel_off_by_more_than_the_tolerance_is_an_exception():
    """Level 6% higher; its sd is the same."""
    level = 10 + np.arange(100.0) % 2
    assert exceptions_of(series(level), series(level)) == []
    assert exceptions_of(series(level + 0.06 * level.mean()), series(level)) == ["L_T1"]


def test_a_pump_that_hardly_runs_is_an_exception_one_that_never_runs_is_not():
    """23 running hours are under the 24 that a mean needs, however equal they are."""
    hours = np.arange(100)
    rare = series([1] * 100, flow=np.where(hours < 23, 20.0 + hours % 2, 0), status=hours < 23)
    rare["S_PU1"] = rare["S_PU1"].astype(float)

    assert exceptions_of(rare, rare) == ["F_PU1"]
    assert exceptions_of(series([1] * 100), series([1] * 100)) == []
    assert exceptions_of(series([1] * 100), rare) == ["F_PU1"]


def test_series_out_of_schema_are_refused():
    with pytest.raises(SchemaError, match="plant series"):
        compare(series([1]), series([1]).drop(columns="L_T1"), SCHEMA)
    with pytest.raises(DataError, match="'L_T1' has no reading"):
        compare(series([1]), series([np.nan]), SCHEMA)


def walk(seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return series(50 + shift + rng.normal(size=1000), flow=rng.normal(20, 2, 1000), status=1.0)


def test_a_forest_cannot_tell_equal_sources_apart_and_tells_a_shift():
    """About 500 rows each are judged: an AUC by chance has sd sqrt(1/(6 * 500)) = 0.018."""
    assert forest_auc(walk(1), walk(2), SCHEMA, seed=0) == pytest.approx(0.5, abs=0.08)
    assert forest_auc(walk(1, shift=5.0), walk(2), SCHEMA, seed=0) > 0.99
    assert forest_auc(walk(1), walk(2), SCHEMA, seed=0) == forest_auc(walk(1), walk(2), SCHEMA, 0)


def test_the_summary_holds_mean_ks_and_auc():
    distance = summarise(walk(1), walk(2), SCHEMA, seed=3)

    assert distance.mean_ks == pytest.approx(compare(walk(1), walk(2), SCHEMA)["ks"].mean())
    assert distance.forest_auc == forest_auc(walk(1), walk(2), SCHEMA, seed=3)


def test_a_forest_needs_two_blocks_of_each():
    with pytest.raises(DataError, match="must each span two blocks of 168 h"):
        forest_auc(walk(1), walk(2).iloc[:168], SCHEMA, seed=0)
