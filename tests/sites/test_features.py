import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.features import (
    Features,
    FeatureSpec,
    concat,
    feature_spans,
    make_features,
)

IDENTITY = FeatureSpec(60, 60, ("last",))
WINDOWS = FeatureSpec(window_s=180, step_s=120, statistics=("mean", "std", "change"))


def test_last_over_one_period_is_each_row_itself(series_of, schema):
    series = series_of([3, 2], events=["", "leak", "", "", ""])

    features = make_features(series, schema, IDENTITY)

    assert features.names == ("level", "flow")
    np.testing.assert_array_equal(
        features.values, series[["level", "flow"]].to_numpy(dtype=np.float32)
    )
    assert features.values.dtype == np.float32
    assert features.label.dtype == np.int8
    assert features.event.tolist() == ["", "leak", "", "", ""]
    assert features.instance.tolist() == ["run0"] * 3 + ["run1"] * 2
    assert features.time.dtype == np.dtype("datetime64[ns]")


def test_window_statistics_by_hand(series_of, schema):
    """Level 1, 2, 6, 4, 8; windows of 3 rows, a step of 2: rows 0-2 and 2-4.

    Window 1, 2, 6: mean 3, variance ((-2)^2 + (-1)^2 + 3^2) / 3 = 14/3, change 6 - 1 = 5.
    Window 6, 4, 8: mean 6, variance (0 + 4 + 4) / 3 = 8/3, change 8 - 6 = 2.
    """
    series = series_of([5], events=["", "", "", "", "leak"])
    series["level"] = [1.0, 2.0, 6.0, 4.0, 8.0]

    features = make_features(series, schema, WINDOWS)

    assert features.names == (
        *("level:mean", "flow:mean"),
        *("level:std", "flow:std"),
        *("level:change", "flow:change"),
    )
    level = features.values[:, [0, 2, 4]]
    np.testing.assert_allclose(level, [[3, (14 / 3) ** 0.5, 5], [6, (8 / 3) ** 0.5, 2]], rtol=1e-6)
    assert features.label.tolist() == [0, 1]
    assert features.time.tolist() == series["time"].iloc[[2, 4]].to_numpy().tolist()


def test_no_window_reaches_across_instances_or_gaps(series_of, schema):
    """Instances of 4 and 3 rows; the first loses row 1, so rows 2, 3 are too few for 3.

    What is left whole is the second instance, rows 4 to 6: one window.
    """
    series = series_of([4, 3]).drop(index=1).reset_index(drop=True)

    features = make_features(series, schema, WINDOWS)

    assert features.instance.tolist() == ["run1"]


def test_a_series_shorter_than_a_window_gives_no_features(series_of, schema):
    features = make_features(series_of([2]), schema, WINDOWS)

    assert features.values.shape == (0, 6)
    assert len(features) == 0


def test_missing_readings_are_left_out_of_mean_and_std_and_end_up_nan_where_needed(
    series_of, schema
):
    """Level NaN, 2, 4: mean 3, std 1, but no first reading, so no change. Flow is not there."""
    series = series_of([3])
    series["level"] = [np.nan, 2.0, 4.0]
    series["flow"] = np.nan

    values = make_features(series, schema, WINDOWS).values[0]

    np.testing.assert_allclose(values, [3, np.nan, 1, np.nan, np.nan, np.nan])


def test_a_window_has_the_label_of_its_last_sample(series_of, schema):
    """Windows end at rows 2, 4, 6 with labels abnormal, unlabelled, normal."""
    events = ["", "", "leak", "leak", "", "", ""]
    series = series_of([7], events=events, unlabelled=frozenset({4}))

    features = make_features(series, schema, WINDOWS)

    assert features.label.tolist() == [1, -1, 0]
    assert features.event.tolist() == ["leak", "", ""]


def test_std_of_a_constant_pressure_in_pascal_is_exactly_zero(series_of, schema):
    """The textbook sum of squares would leave a few Pa at 2e7 Pa."""
    series = series_of([300])
    series["level"] = 23_456_789.0

    features = make_features(series, schema, FeatureSpec(3000, 60, ("std",)))

    np.testing.assert_array_equal(features.values[:, 0], 0.0)


def test_take_and_concat_keep_rows_together(series_of, schema):
    features = make_features(series_of([4], events=["", "leak", "", ""]), schema, IDENTITY)

    both = concat([features.take(features.label == 1), features.take(np.array([3]))])

    np.testing.assert_array_equal(both.values, features.values[[1, 3]])
    assert both.event.tolist() == ["leak", ""]


def test_spans_are_the_ranges_of_the_channels(schema):
    """Level 0 to 10 m, flow -5 to 95 L/s."""
    assert feature_spans(WINDOWS.names(schema), schema).tolist() == [10, 100, 10, 100, 10, 100]


def test_the_calls_of_python_do_not_grow_with_the_rows(schema):
    """Ten times the rows take as many calls, give or take what the collector of garbage adds."""
    spec = FeatureSpec(18_000, 3_600, ("mean", "std", "change"))

    def calls(rows: int) -> int:
        series = pd.DataFrame(
            {
                "instance": pd.Series(["w0"] * rows, dtype="str"),
                "time": pd.date_range("2020-01-01", periods=rows, freq="60s", unit="ns"),
                "level": np.linspace(0, 1, rows),
                "flow": 0.0,
                "label": np.zeros(rows, dtype=np.int8),
                "event": pd.Series([""] * rows, dtype="str"),
            }
        )
        made = []
        sys.setprofile(lambda frame, event, function: made.append(event))
        try:
            features = make_features(series, schema, spec)
        finally:
            sys.setprofile(None)
        assert len(features) == (rows - 300) // 60 + 1
        return sum(event in ("call", "c_call") for event in made)

    calls(4_600)  # the first time, libraries load what they need
    assert calls(46_000) < 2 * calls(4_600)


@pytest.mark.parametrize("statistics", [(), ("median",), ("mean", "mean")])
def test_unknown_repeated_or_no_statistics_are_refused(statistics):
    with pytest.raises(ConfigError, match="feature statistics"):
        FeatureSpec(60, 60, statistics)


@pytest.mark.parametrize(("window", "step"), [(0, 60), (60, -1)])
def test_a_window_needs_length_and_step(window, step):
    with pytest.raises(ConfigError, match="must be above 0"):
        FeatureSpec(window, step, ("mean",))


def test_a_window_of_half_a_sample_is_refused(series_of, schema):
    with pytest.raises(ConfigError, match="whole multiples of the sampling period"):
        make_features(series_of([3]), schema, FeatureSpec(90, 60, ("mean",)))


def test_lengths_below_a_second_are_whole_though_binary_says_otherwise(schema):
    """0.3 / 0.1 is 2.9999999999999996."""
    quick = replace(schema, period_s=0.1)

    assert FeatureSpec(0.3, 0.1, ("mean",)).rows(quick) == (3, 1)
    with pytest.raises(ConfigError, match="whole multiples of the sampling period"):
        FeatureSpec(0.35, 0.1, ("mean",)).rows(quick)


def test_features_that_do_not_fit_together_are_refused(series_of, schema):
    good = make_features(series_of([3]), schema, IDENTITY)

    with pytest.raises(DataError, match="do not fit together"):
        Features(good.values, ("level",), good.label, good.time, good.instance, good.event)
    with pytest.raises(DataError, match="same names"):
        concat([good, make_features(series_of([5]), schema, WINDOWS)])
