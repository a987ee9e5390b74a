import json
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.core.errors import SchemaError
from dtfl_app.sites.quality import assess, clean
from dtfl_app.sites.stretches import FROZEN_SAMPLES
from twin.schema import Channel


def test_shares_of_missing_frozen_and_impossible_readings_by_hand(series_of, schema):
    """1,000 rows of flow: 100 missing, then 600 at 7 (frozen), 200 of 0, 1, 0, 1..., 100 at 500.

    500 L/s is above the range of 95; a run of 100 equal readings is too short to be frozen.
    """
    series = series_of([1000])
    series["flow"] = np.concatenate(
        [np.full(100, np.nan), np.full(600, 7.0), np.tile([0.0, 1.0], 100), np.full(100, 500.0)]
    )

    report = assess("plant", series, schema)

    flow = report.channels[1]
    assert (flow.channel, flow.missing, flow.frozen, flow.impossible) == ("flow", 0.1, 0.6, 0.1)
    assert (flow.removed, flow.done) == (0.0, "kept as delivered")
    assert json.loads(json.dumps(report.to_dict()))["channels"][1]["frozen"] == 0.6


def test_dead_recordings_and_impossible_readings_become_missing_and_nothing_else(series_of, schema):
    """Flow never changes in the first recording; in the second one reading is impossible."""
    n = FROZEN_SAMPLES
    series = series_of([n, n])
    series["flow"] = np.concatenate([np.full(n, 3.0), np.linspace(1, 2, n)])
    series.loc[n + 5, "flow"] = -400.0

    cleaned, report = clean("plant", series, schema)

    assert np.flatnonzero(cleaned["flow"].isna()).tolist() == [*range(n), n + 5]
    assert cleaned["level"].tolist() == series["level"].tolist()
    assert report.channels[1].removed == (n + 1) / (2 * n)
    assert report.channels[1].done == (
        "set to missing in 1 recordings in which it never changes; "
        "1 impossible readings set to missing"
    )
    assert not series["flow"].isna().any()


def test_a_short_or_partly_constant_recording_is_kept(series_of, schema):
    series = series_of([FROZEN_SAMPLES - 1, 2 * FROZEN_SAMPLES])
    series["flow"] = 3.0
    series.loc[series.index[-1], "flow"] = 4.0

    cleaned, _ = clean("plant", series, schema)

    assert not cleaned["flow"].isna().any()


def test_zeros_for_not_connected_are_no_wrong_unit_but_readings_in_kilo_are(series_of, schema):
    """A level range of 1 to 10 m: zeros are impossible readings, 3,000 is 3 m in mm."""
    level = replace(schema.channels[0], low=1.0)
    strict = replace(schema, channels=(level, schema.channels[1]))
    series = series_of([10]).assign(level=[0.0] * 8 + [2.0, 3.0])

    cleaned, _ = clean("plant", series, strict)

    assert cleaned["level"].notna().sum() == 2
    with pytest.raises(SchemaError, match=r"plant: column 'level': 100% .* convert .* to m"):
        clean("plant", series.assign(level=np.linspace(2000, 3000, 10)), strict)


def test_a_pump_at_rest_is_no_dead_sensor(series_of, schema):
    """A status of 1 and a flow of 0 throughout are kept; the same flow at 3 is not."""
    status = Channel("pump", "1", "status", 0.0, 1.0)
    plant = replace(schema, channels=(status, schema.channels[1]))
    series = series_of([FROZEN_SAMPLES]).rename(columns={"level": "pump"}).assign(pump=1.0)

    at_rest, report = clean("plant", series.assign(flow=0.0), plant)
    stuck, _ = clean("plant", series.assign(flow=3.0), plant)

    assert (at_rest["pump"] == 1.0).all() and (at_rest["flow"] == 0.0).all()
    assert [channel.removed for channel in report.channels] == [0.0, 0.0]
    assert stuck["flow"].isna().all() and (stuck["pump"] == 1.0).all()
