"""A recorded series as a twin."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, ScenarioError, SchemaError, TwinError
from twin.base import Event, Scenario, Twin
from twin.recorded import RecordedTwin, read_series
from twin.schema import Channel, Schema

SCHEMA = Schema(
    "well",
    (Channel("P", "Pa", "pressure", 0, 1e8), Channel("T", "degC", "temperature", -50, 300)),
    period_s=900,
)


def recording(instances: dict[str, tuple[int, str]]) -> pd.DataFrame:
    """Return instances {name: (rows, event in their second half)} at 900 s."""
    parts = [
        pd.DataFrame(
            {
                "instance": name,
                "time": pd.date_range("2020-01-01", periods=n, freq="900s"),
                "P": np.arange(n) * 1000.0,
                "T": 40.0,
                "label": (np.arange(n) >= n // 2) & bool(event),
                "event": np.where(np.arange(n) >= n // 2, event, ""),
            }
        )
        for name, (n, event) in instances.items()
    ]
    return pd.concat(parts, ignore_index=True).astype({"label": np.int8})


SERIES = recording({"a": (48, ""), "b": (40, "closure"), "c": (8, "closure"), "d": (48, "leak")})


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_reads_back_what_another_tool_wrote(tmp_path, suffix):
    path = tmp_path / f"olga{suffix}"
    SERIES.to_parquet(path) if suffix == ".parquet" else SERIES.to_csv(path, index=False)

    twin = RecordedTwin(path, SCHEMA)

    assert isinstance(twin, Twin)
    assert twin.instances == ["a", "b", "c", "d"]
    assert twin.fingerprint() == RecordedTwin.from_series(SERIES, SCHEMA, "memory").fingerprint()
    first = twin.simulate(Scenario("a", hours=12, seed=0))
    pd.testing.assert_frame_equal(first, SERIES[:48].astype({"time": "datetime64[ns]"}))


def test_fingerprint_follows_the_values():
    changed = SERIES.copy()
    changed.loc[0, "P"] += 1e-9

    twins = [RecordedTwin.from_series(s, SCHEMA, "memory") for s in (SERIES, changed)]

    assert twins[0].fingerprint() != twins[1].fingerprint()


def test_plan_draws_each_instance_once_and_repeats_with_the_seed():
    twin = RecordedTwin.from_series(SERIES, SCHEMA, "memory")

    plan = twin.plan(4, 100, 7, ["closure", "leak"])

    assert sorted(s.name for s in plan) == ["a", "b", "c", "d"]
    assert plan == twin.plan(4, 100, 7, ["closure", "leak"])
    assert plan != twin.plan(4, 100, 8, ["closure", "leak"])


def test_plan_leaves_out_instances_with_other_events():
    twin = RecordedTwin.from_series(SERIES, SCHEMA, "memory")

    assert [s.name for s in twin.plan(1, 100, 0, [])] == ["a"]
    assert {s.name for s in twin.plan(3, 100, 0, ["closure"])} == {"a", "b", "c"}


def test_an_event_counts_by_its_kind():
    """Names as the C-Town twin ("leak:J10#0", joined by "+") and 3W ("closure WELL-1") give."""
    series = recording({"a": (4, "leak:J10#0"), "b": (4, "closure WELL-1"), "c": (4, "leak#1+x:y")})
    twin = RecordedTwin.from_series(series, SCHEMA, "memory")

    assert [s.name for s in twin.plan(1, 1, 0, ["leak"])] == ["a"]
    assert {s.name for s in twin.plan(2, 1, 0, ["leak", "x"])} == {"a", "c"}
    with pytest.raises(TwinError, match=r"recorded: \['closure', 'leak', 'x'\]"):
        twin.plan(4, 1, 0, ["leak", "x", "closure"])


def test_plan_says_how_many_instances_there_are():
    twin = RecordedTwin.from_series(SERIES, SCHEMA, "olga.parquet")

    with pytest.raises(TwinError, match=r"olga.parquet: 4 scenarios .* 3 instances .*closure"):
        twin.plan(4, 100, 0, ["closure"])
    with pytest.raises(TwinError, match="at least 1"):
        twin.plan(0, 100, 0, [])


def test_hours_crop_long_instances_to_a_window_and_keep_short_ones_whole():
    """At 900 s, 3 h are 12 rows; instance c has 8 rows = 2 h and is taken whole."""
    twin = RecordedTwin.from_series(SERIES, SCHEMA, "memory")

    plan = {s.name: s for s in twin.plan(4, 3, 1, ["closure", "leak"])}
    windows = {name: twin.simulate(scenario) for name, scenario in plan.items()}

    assert {name: len(rows) for name, rows in windows.items()} == {
        "a": 12,
        "b": 12,
        "c": 8,
        "d": 12,
    }
    assert plan["c"].hours == 2
    assert (np.diff(windows["a"]["P"]) == 1000).all()
    starts = {twin.simulate(Scenario("a", 3, seed))["P"].iloc[0] for seed in range(20)}
    assert len(starts) > 5


def test_simulate_refuses_what_is_not_recorded():
    twin = RecordedTwin.from_series(SERIES, SCHEMA, "memory")

    with pytest.raises(ScenarioError, match="'z' is not recorded"):
        twin.simulate(Scenario("z", 1, 0))
    with pytest.raises(ScenarioError, match="leave events empty"):
        twin.simulate(Scenario("a", 1, 0, (Event("leak", "T1", 0, 1),)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop(columns="P"), r"columns \['P'\] are missing"),
        (lambda s: s.assign(P=s["P"] - 1), r"row 0, column 'P': -1 is outside"),
        (lambda s: s.assign(T="hot"), "column 'T'"),
        (lambda s: s.assign(label=2), "row 0, column 'label' is"),
        (lambda s: s.assign(time="never"), "column 'time'"),
        (lambda s: s.assign(time=s["time"].where(s.index != 3)), "row 3, column 'time' is empty"),
        (lambda s: s.iloc[::-1], "time goes back"),
        (lambda s: s.iloc[::2], "sampled every 1800 s"),
        (lambda s: s.iloc[:0], "no rows"),
    ],
)
def test_a_series_out_of_schema_is_refused(change, message):
    with pytest.raises(SchemaError, match=message):
        RecordedTwin.from_series(change(SERIES), SCHEMA, "memory")


def test_an_unreadable_file_is_named(tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet")

    with pytest.raises(DataError, match=r"broken.parquet: cannot be read"):
        read_series(broken, SCHEMA)
    with pytest.raises(DataError, match=r"absent.csv: cannot be read"):
        read_series(tmp_path / "absent.csv", SCHEMA)
