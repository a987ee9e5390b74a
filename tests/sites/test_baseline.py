"""Recordings standardised by their beginnings: by hand, whole, and row by row."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dtfl_app.core.errors import DataError
from dtfl_app.sites.baseline import Baseline, RunningBaseline, standardised
from dtfl_app.sites.features import FeatureSpec, make_features
from dtfl_app.sites.federation import build_site, evaluation_features, normal_windows
from dtfl_app.sites.quality import assess
from dtfl_app.sites.readers import assemble_series
from dtfl_app.sites.scaling import ChannelSums, Scaler
from twin.schema import Channel, Schema

RIG = Schema(
    "rig",
    (
        Channel("p", "bar", "pressure", 0.0, 10.0),
        Channel("q", "L/s", "flow", 0.0, 2000.0),
        Channel("on", "1", "status", 0.0, 1.0),
    ),
    1.0,
)
EACH = FeatureSpec(1, 1, ("last",), baseline=3)


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)


def series_of(rows, names=None, labels=None):
    """Rows of p, q and on, one a second; `names` are the recordings'."""
    rows = np.asarray(rows, dtype=np.float64)
    time = np.datetime64("2024-01-01", "ns") + np.arange(len(rows)) * np.timedelta64(10**9, "ns")
    label = np.zeros(len(rows), np.int8) if labels is None else np.array(labels, np.int8)
    names = np.array(names or ["a"] * len(rows), dtype=object)
    events = np.full(len(rows), "", dtype=object)
    return assemble_series(time, pd.DataFrame(rows, columns=RIG.names), names, label, events)


def wave(rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(2, 4, rows), rng.uniform(50, 90, rows), rng.integers(0, 2, rows)]
    )


def test_a_baseline_by_hand():
    """Means 2 and 100; deviations sqrt(2/3) and, at least, 1e-3 of the range, 2."""
    series = series_of([[1, 100, 0], [2, 100, 0], [3, 100, 0], [4, 106, 1]])

    found = standardised(series, RIG, rows=3)

    assert found[RIG.names].to_numpy().tolist() == [pytest.approx([2 / np.sqrt(2 / 3), 3.0, 1.0])]
    assert found["time"].tolist() == series["time"].tolist()[3:]


def test_a_gap_does_not_end_a_recording_and_another_name_does():
    """Three rows of run, cut by a gap, then two more: 1 and 2 deviations; the next run's too."""
    one = [[1, 0, 0], [2, 0, 0], [3, 0, 0]]
    names = ["run/part-1"] * 2 + ["run/part-2"] * 2 + ["next"] * 4
    series = series_of([*one, [4, 0, 0], *one, [4, 0, 0]], names)

    found = standardised(series, RIG, rows=3)

    assert found["instance"].tolist() == ["run/part-2", "next"]
    assert found["p"].tolist() == pytest.approx([2 / np.sqrt(2 / 3)] * 2)


def test_machines_at_other_operating_points_become_alike():
    first, second = wave(60), wave(60)
    second[:, :2] = second[:, :2] * [2, 4] + [1, 64]

    found = standardised(series_of([*first, *second], ["a"] * 60 + ["b"] * 60), RIG, rows=20)

    values = found[RIG.names].to_numpy()
    np.testing.assert_allclose(values[:40], values[40:], rtol=1e-9)


def test_a_channel_without_a_reading_in_the_baseline_is_missing_and_a_status_stays_a_status():
    series = series_of([[np.nan, 1, 0], [np.nan, 2, 0], [5, 3, 1]])

    found = standardised(series, RIG, rows=2)

    assert np.isnan(found["p"][0]) and found["on"][0] == 1.0


def test_recordings_that_end_within_their_baseline_are_named_and_give_nothing(caplog):
    names = ["a"] * 2 + ["b"] * 3 + ["c"] * 4

    with caplog.at_level(logging.WARNING):
        found = standardised(series_of(wave(9), names), RIG, rows=3)

    assert found["instance"].tolist() == ["c"]
    told = "2 of 3 recordings end within the baseline of 3 rows (data.baseline)"
    assert f"{told} and give nothing: a, b" in caplog.text


def test_rows_labelled_abnormal_within_a_baseline_are_told(caplog):
    with caplog.at_level(logging.WARNING):
        standardised(series_of(wave(9), labels=[0, 1, 1, 1, 0, 0, 0, 0, 0]), RIG, rows=3)

    assert "2 rows labelled abnormal lie within the baselines of 1 recording:" in caplog.text


@pytest.mark.parametrize("build", ["site", "evaluation"])
def test_data_of_short_recordings_alone_are_an_error_that_says_what_to_do(build):
    series = series_of(wave(5), ["a"] * 2 + ["b"] * 3)
    said = r"the longest of its 2 recordings has 3 rows, all within the baseline of 3 .*data\.base"

    with pytest.raises(DataError, match=said):
        if build == "site":
            build_site("rig", series, RIG, EACH, 0.2, assess("rig", series, RIG))
        else:
            evaluation_features("judge.csv", series, RIG, EACH)


def test_rows_to_train_and_to_calibrate_on_are_by_one_baseline():
    series = series_of(wave(53), labels=[0] * 40 + [1] * 13)

    site = build_site("rig", series, RIG, EACH, 0.2, assess("rig", series, RIG))

    whole = make_features(series, RIG, EACH)
    parts = np.concatenate([site.features_train.values, site.features_cal.values])
    order = np.argsort(np.concatenate([site.features_train.time, site.features_cal.time]))
    np.testing.assert_array_equal(parts[order], whole.values)
    assert site.normal == normal_windows("rig", series, RIG, EACH, 0.2)


@pytest.mark.parametrize("statistic", ["last", "mean", "std", "change"])
@given(
    hnp.arrays(np.float64, (12, 3), elements=st.floats(0, 1)),
)
def test_moments_of_standardised_readings_lie_within_their_ranges(statistic, shares):
    """Whatever is read within the channels' ranges."""
    spec = FeatureSpec(2, 1, (statistic,), baseline=4)
    spans = np.array([channel.high for channel in RIG.channels])

    features = make_features(series_of(shares * spans), RIG, spec)

    ChannelSums.of(features.values).require_possible(spec.ranges(RIG), most=100)


def test_no_common_scale_is_below_a_deviation_of_a_baseline():
    """A channel that never leaves its mean has deviation 0; a status has 1e-3 of its range."""
    still = ChannelSums(np.full(3, 9.0), np.zeros(3), np.zeros(3))

    scaler = Scaler.from_sums(still, EACH.spans(RIG))

    assert scaler.scale.tolist() == pytest.approx([1.0, 1.0, 5e-4])


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.just(3)),
        elements=st.floats(-1000, 1000) | st.just(np.nan),
    ),
    st.integers(1, 12),
    st.integers(0, 30),
)
def test_row_by_row_is_the_same_to_the_bit_also_across_a_restart(rows, least, stop):
    whole = standardised(series_of(rows), RIG, least)[RIG.names].to_numpy()
    running, found = RunningBaseline(RIG, least), []
    for place, row in enumerate(rows):
        if place == stop:
            kept = json.loads(json.dumps(running.state()))
            running = RunningBaseline(RIG, least)
            running.restore(kept)
        if not running.takes(row):
            found.append(running.apply(row[None, :])[0])

    np.testing.assert_array_equal(np.array(found).reshape(-1, 3), whole)


def test_what_a_model_expects_is_told_in_the_channels_units():
    """Means come back with their mean, changes without one."""
    running = RunningBaseline(RIG, 2)
    rows = np.array([[1.0, 10, 0], [3.0, 30, 1]])
    for row in rows:
        running.takes(row)
    own = Baseline.of(rows, RIG)

    found = running.undo(np.tile([2.0, -1.0, 0.5], 2), ("mean", "change"))

    assert found.tolist() == pytest.approx([4.0, 10.0, 0.5, 2.0, -10.0, 0.5])
    assert own.scale.tolist() == [1.0, 10.0, 1.0]
