import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.features import FeatureSpec, feature_ranges, make_features
from dtfl_app.sites.readers import assemble_series
from dtfl_app.sites.scaling import ChannelSums, Scaler, Scaling
from twin.schema import Channel, Schema

READINGS = st.floats(-1e6, 1e6) | st.just(float("nan"))
TABLES = hnp.arrays(np.float64, st.tuples(st.integers(0, 8), st.just(2)), elements=READINGS)


def test_moments_by_hand():
    """Column 1: 1, 2, 6 has mean 3 and M2 4 + 1 + 9 = 14. Column 2: one reading, 5, M2 0."""
    sums = ChannelSums.of(np.array([[1, np.nan], [2, 5], [6, np.nan]]))

    assert sums.n.tolist() == [3, 1]
    assert sums.mean.tolist() == [3, 5]
    assert sums.m2.tolist() == [14, 0]


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(TABLES, min_size=1, max_size=5))
def test_pooled_moments_are_those_of_all_rows_together(parts):
    pooled = ChannelSums.pool([ChannelSums.of(part) for part in parts])

    together = np.concatenate(parts)
    for column in range(2):
        readings = together[:, column][~np.isnan(together[:, column])]
        assert pooled.n[column] == readings.size
        if readings.size:
            scale = 1 + np.abs(readings).max()
            assert pooled.mean[column] == pytest.approx(readings.mean(), abs=1e-9 * scale)
            assert pooled.m2[column] / readings.size == pytest.approx(
                readings.var(), rel=1e-9, abs=1e-9 * scale
            )


def test_pooling_keeps_the_digits_of_a_small_variation_on_a_large_pressure():
    """2e7 Pa +- 0.5 Pa: variance 0.25. In sums of squares (4e14 each) it would be lost."""
    readings = 2e7 + np.tile([-0.5, 0.5], 50_000)[:, None]

    pooled = ChannelSums.pool([ChannelSums.of(part) for part in np.array_split(readings, 7)])

    assert pooled.m2[0] / pooled.n[0] == pytest.approx(0.25, rel=1e-6)


def test_a_site_without_readings_changes_nothing():
    some = ChannelSums.of(np.array([[1.0], [3.0]]))
    none = ChannelSums.of(np.full((4, 1), np.nan))

    pooled = ChannelSums.pool([none, some, none])

    assert (pooled.n[0], pooled.mean[0], pooled.m2[0]) == (2, 2, 2)


def test_scaling_by_hand():
    """Column 1: mean 3, standard deviation sqrt(8 / 2) = 2; 7 -> 2, missing -> 0, 103 -> clip 10.

    Column 2 is constant at 1 with a range of 1: scaled by the sensor's accuracy, a thousandth of
    the range; 0.998 -> -2, and a real change, to 0, is cut at -10.
    """
    sums = ChannelSums.of(np.array([[1.0, 1.0], [5.0, 1.0]]))

    scaler = Scaler.from_sums(sums, spans=np.array([100.0, 1.0]), clip=10)
    scaled = scaler.transform(np.array([[7, 0], [np.nan, 0.998], [103, 1]]))

    np.testing.assert_allclose(scaled, [[2, -10], [0, -2], [10, 0]], atol=1e-5)
    assert scaled.dtype == np.float32


def test_a_channel_that_no_site_has_is_zero_everywhere():
    sums = ChannelSums.of(np.full((3, 1), np.nan))

    scaler = Scaler.from_sums(sums, spans=np.array([10.0]))

    assert scaler.transform(np.array([[np.nan]])).tolist() == [[0.0]]
    assert np.isfinite(scaler.scale).all()


def test_moments_and_scaler_travel_as_json():
    sums = ChannelSums.of(np.array([[1.0, 2.0], [4.0, 2.0]]))
    scaler = Scaler.from_sums(sums, np.array([10.0, 10.0]), clip=5)

    sums_back = ChannelSums.from_dict(json.loads(json.dumps(sums.to_dict())))
    scaler_back = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))

    np.testing.assert_array_equal(sums_back.m2, sums.m2)
    np.testing.assert_array_equal(scaler_back.scale, scaler.scale)
    assert scaler_back.clip == 5


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"n": [1], "mean": [0]}, "lack"),
        ({"n": [1], "mean": [0, 0], "m2": [0]}, "one length"),
        ({"n": [1], "mean": [float("nan")], "m2": [0]}, "finite"),
        ({"n": [-1], "mean": [0], "m2": [0]}, ">= 0"),
        ({"n": [1], "mean": [0], "m2": [-1]}, ">= 0"),
    ],
)
def test_moments_that_make_no_sense_are_refused(plain, message):
    with pytest.raises(DataError, match=message):
        ChannelSums.from_dict(plain)


def test_what_does_not_fit_together_is_refused():
    one, two = ChannelSums.of(np.ones((1, 1))), ChannelSums.of(np.ones((1, 2)))

    with pytest.raises(DataError, match=r"\[1, 2\] features cannot be pooled"):
        ChannelSums.pool([one, two])
    with pytest.raises(DataError, match="cannot be pooled"):
        ChannelSums.pool([])
    with pytest.raises(DataError, match="do not fit"):
        Scaler.from_sums(one, np.ones(2))
    with pytest.raises(DataError, match="scaler lacks"):
        Scaler.from_dict({"mean": [0.0]})
    with pytest.raises(DataError, match="scale above 0"):
        Scaler(np.zeros(1), np.zeros(1))
    with pytest.raises(ConfigError, match="clip must be above 0"):
        Scaler(np.zeros(1), np.ones(1), clip=0)


@given(
    st.lists(st.floats(-3.0, 5.0, width=32), min_size=1, max_size=30),
    st.sampled_from(["last", "mean", "std", "change"]),
)
def test_readings_within_their_range_have_possible_moments(readings, statistic):
    """Whatever the readings and the statistic of windows of three of them."""
    schema = Schema("one", (Channel("level", "m", "level", -3.0, 5.0),), 60.0)
    spec = FeatureSpec(180.0, 60.0, (statistic,))
    time = np.datetime64("2024-01-01", "ns") + np.arange(len(readings)) * np.timedelta64(60, "s")
    values = pd.DataFrame({"level": readings})
    label = np.zeros(len(readings), np.int8)
    series = assemble_series(time, values, ["a"] * len(readings), label, [""] * len(readings))
    features = make_features(series, schema, spec)

    ranges = feature_ranges(features.names, schema)

    ChannelSums.of(features.values).require_possible(ranges, most=30)


@pytest.mark.parametrize(
    ("statistic", "low", "high"),
    [("last", -3.0, 5.0), ("mean", -3.0, 5.0), ("std", 0.0, 4.0), ("change", -8.0, 8.0)],
)
def test_a_statistic_has_its_own_range(statistic, low, high):
    schema = Schema("one", (Channel("level", "m", "level", -3.0, 5.0),), 60.0)
    names = FeatureSpec(180.0, 60.0, (statistic,)).names(schema)

    assert feature_ranges(names, schema).tolist() == [[low], [high]]


def test_squared_deviations_are_bounded_by_those_of_readings_at_both_ends():
    """Ten readings, half of them at 0 and half at 4: m2 = 10 * 2^2."""
    ranges = np.array([[0.0], [4.0]])

    ChannelSums(np.array([10.0]), np.array([2.0]), np.array([40.0])).require_possible(ranges, 10)
    with pytest.raises(DataError, match=r"feature 1 of 1 .*\(n 10, mean 2, m2 40.1\)"):
        ChannelSums(np.array([10.0]), np.array([2.0]), np.array([40.1])).require_possible(
            ranges, 10
        )


def sums_of(*columns) -> list[ChannelSums]:
    return [ChannelSums.of(np.asarray(column, dtype=float)[:, None]) for column in columns]


def test_no_site_counts_for_more_than_three_times_the_median_one():
    """100, 100 and 10,000 readings: the last counts as 300. Mean (0 + 0 + 300 * 8) / 500."""
    parts = sums_of(np.zeros(100), np.zeros(100), np.full(10_000, 8.0))

    pooled = ChannelSums.pool_bounded(parts)

    assert pooled.n.tolist() == [500]
    assert pooled.mean[0] == pytest.approx(4.8)
    assert pooled.m2[0] / pooled.n[0] == pytest.approx(0.4 * 0.6 * 64)


def test_sites_of_like_size_are_pooled_as_their_rows():
    parts = sums_of([1, 2, 6], [3, 4], [5, 5, 5, 9])

    assert ChannelSums.pool_bounded(parts).to_dict() == ChannelSums.pool(parts).to_dict()


def test_the_median_of_sites_does_not_move_with_fewer_than_half_of_them():
    """Five sites about 1, 2, 3 and two liars at the ends of the range."""
    rng = np.random.default_rng(1)
    honest = [place + rng.normal(size=400) for place in (1, 2, 3)]
    liars = [np.full(10_000, 1e6), np.tile([-1e6, 1e6], 5000)]

    pooled = ChannelSums.pool_median(sums_of(*honest, *liars))

    assert 1.0 < pooled.mean[0] < 3.2
    assert 0.8 < pooled.m2[0] / pooled.n[0] < 6.0


def test_like_sites_have_the_median_of_their_own_scaling():
    rng = np.random.default_rng(2)
    parts = sums_of(*(7 + 2 * rng.normal(size=5000) for _ in range(9)))

    pooled = ChannelSums.pool_median(parts)

    assert pooled.mean[0] == pytest.approx(7, abs=0.1)
    assert np.sqrt(pooled.m2[0] / pooled.n[0]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("pool", [ChannelSums.pool_bounded, ChannelSums.pool_median])
def test_a_feature_that_no_site_reads_has_no_moments(pool):
    nothing = ChannelSums.of(np.full((5, 1), np.nan))

    assert pool([nothing, nothing]).to_dict() == {"n": [0], "mean": [0], "m2": [0]}
    one = pool([nothing, *sums_of([2, 2, 2])])
    assert (one.n[0], one.mean[0]) == (3, 2)


def test_a_site_s_own_scaler_takes_from_the_pooled_one_what_the_site_has_no_moments_of():
    """Variance 8 / 2 of the first feature, nothing told of the second."""
    pooled = Scaler(np.array([1.0, 7.0]), np.array([5.0, 6.0]), clip=4.0)
    sums = ChannelSums(np.array([2.0, 0.0]), np.array([3.0, 0.0]), np.array([8.0, 0.0]))

    scaling = Scaling.by_site(pooled, {"east": sums}, np.array([10.0, 10.0]))

    assert scaling.at("east").to_dict() == {"mean": [3, 7], "scale": [2, 6], "clip": 4}
    assert scaling.at("west") is pooled
