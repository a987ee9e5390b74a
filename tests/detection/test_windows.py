"""Row by row, the model gets what whole recordings give it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.bundle import FeaturePlan
from dtfl_app.detection.windows import FrozenChannels, InputWindows, TrailingMean
from dtfl_app.detector.scoring import smooth, stack_windows
from dtfl_app.sites.features import FeatureSpec, make_features
from dtfl_app.sites.quality import clean
from dtfl_app.sites.scaling import ChannelSums, Scaler
from dtfl_app.sites.stretches import FROZEN_SAMPLES, interruptions, stretch_names
from twin.schema import Channel, Schema

PAIR = Schema(
    "pair",
    (Channel("p", "Pa", "pressure", -1e9, 1e9), Channel("on", "1", "status", 0.0, 1.0)),
    1.0,
)
SPEC = FeatureSpec(window_s=30, step_s=5, statistics=("mean", "std", "change", "last"))


def series_of(values, time=None):
    values = np.asarray(values, dtype=np.float64)
    time = np.arange(len(values)) if time is None else time
    stamps = np.datetime64("2024-01-01", "ns") + np.asarray(time) * np.timedelta64(10**9, "ns")
    frame = pd.DataFrame(values, columns=["p", "on"])
    frame.insert(0, "instance", stretch_names(stamps, 1.0, "well"))
    frame.insert(1, "time", stamps)
    return frame.assign(label=np.int8(0), event="")


def through(windows, series):
    """Feed a recording row by row; return its features and inputs."""
    gaps = np.concatenate([[False], interruptions(series["time"].to_numpy(), 1.0)])
    made = []
    for row, gap in zip(series[["p", "on"]].to_numpy(), gaps, strict=True):
        if gap:
            windows.restart(recording=False)
        made.append(windows.step(row))
    kept = [one for one in made if one is not None]
    return np.array([one[0] for one in kept]), np.concatenate([one[1] for one in kept])


@pytest.fixture
def series():
    """Ten minutes at a high pressure, with missing readings and two gaps, one short."""
    rng = np.random.default_rng(5)
    values = np.column_stack([2e7 + rng.normal(size=600), rng.integers(0, 2, 600)])
    values[rng.random(values.shape) < 0.1] = np.nan
    time = np.arange(600) + np.where(np.arange(600) >= 200, 60, 0)
    return series_of(values, time + np.where(np.arange(600) >= 215, 2, 0))


@pytest.mark.parametrize("window", [1, 4])
def test_features_and_inputs_are_those_of_the_whole_recording(series, window):
    features = make_features(series, PAIR, SPEC)
    scaler = Scaler.from_sums(ChannelSums.of(features.values), np.full(8, 100.0))
    scaled = scaler.transform(features.values)
    plan = FeaturePlan(SPEC, SPEC.names(PAIR), window, (), False)

    found, inputs = through(InputWindows(plan, scaler, PAIR), series)

    np.testing.assert_array_equal(found, features.values)
    np.testing.assert_array_equal(inputs, stack_windows(scaled, features.instance, window))


def test_behind_a_baseline_too_across_gaps_with_features_told_in_their_units(series):
    """The first gap, after 200 rows, lies within the baseline, the second behind it."""
    spec = replace(SPEC, baseline=210)
    standard, raw = make_features(series, PAIR, spec), make_features(series[210:], PAIR, SPEC)
    scaler = Scaler.from_sums(ChannelSums.of(standard.values), spec.spans(PAIR))
    scaled = scaler.transform(standard.values)

    windows = InputWindows(FeaturePlan(spec, spec.names(PAIR), 4, (), False), scaler, PAIR)
    found, inputs = through(windows, series)

    np.testing.assert_array_equal(found, raw.values)
    np.testing.assert_array_equal(inputs, stack_windows(scaled, standard.instance, 4))
    expected = windows.expected(scaled[-1])
    np.testing.assert_allclose(expected, raw.values[-1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("baseline", [0, 40, 80])
def test_a_restored_state_goes_on_in_the_middle_of_a_window_or_a_baseline(series, baseline):
    spec = replace(SPEC, baseline=baseline)
    plan = FeaturePlan(spec, spec.names(PAIR), 3, (), False)
    scaler = Scaler(np.zeros(8), np.ones(8))
    whole = InputWindows(plan, scaler, PAIR)
    rows = series.iloc[:160][["p", "on"]].to_numpy()
    wanted = [whole.step(row) for row in rows][73:]

    first, second = (InputWindows(plan, scaler, PAIR) for _ in range(2))
    for row in rows[:73]:
        first.step(row)
    second.restore(json.loads(json.dumps(first.state())))
    found = [second.step(row) for row in rows[73:]]

    assert [one is None for one in found] == [one is None for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        if one is not None:
            np.testing.assert_array_equal(one[1], other[1])


def test_a_feature_that_no_site_ever_had_is_missing_whatever_is_read(series):
    """Missing counts as the mean, so its scaled value is 0."""
    plan = FeaturePlan(SPEC, SPEC.names(PAIR), 1, ("p:mean",), False)
    scaler = Scaler(np.zeros(8), np.ones(8), clip=1e9)

    _, masked = through(InputWindows(plan, scaler, PAIR), series)
    _, plain = through(InputWindows(replace_unread(plan), scaler, PAIR), series)

    assert (masked[:, 0] == 0.0).all()
    assert (plain[:, 0] != 0.0).all()
    np.testing.assert_array_equal(masked[:, 1:], plain[:, 1:])


def replace_unread(plan):
    return replace(plan, unread=())


def test_a_trailing_mean_is_that_of_whole_recordings():
    rng = np.random.default_rng(1)
    values = rng.gamma(1.0, size=(50, 3))
    instance = np.repeat(["a", "b"], [20, 30])
    mean = TrailingMean(8)

    found = []
    for row, name, before in zip(values, instance, ["", *instance], strict=False):
        if name != before:
            mean.restart()
        found.append(mean.step(row))

    np.testing.assert_allclose(found, smooth(values, instance, 8), rtol=1e-12)


class TestFrozen:
    def through(self, values):
        frozen = FrozenChannels(PAIR)
        frozen.restart()
        return np.array([frozen.step(row) for row in np.asarray(values, dtype=np.float64)])

    def test_a_channel_that_never_moves_is_missing_from_the_limit_on(self):
        """Training sees the whole recording and removes it; on line it takes 600 readings."""
        values = np.column_stack([np.full(700, 5.0), np.zeros(700)])

        found = self.through(values)

        assert np.flatnonzero(np.isnan(found[:, 0]))[0] == FROZEN_SAMPLES - 1
        assert np.isnan(found[FROZEN_SAMPLES - 1 :, 0]).all()
        cleaned, _ = clean("well", series_of(values), PAIR)
        assert cleaned["p"].isna().all()

    def test_a_status_may_rest(self):
        assert not np.isnan(self.through(np.zeros((700, 2)))[:, 1]).any()

    @pytest.mark.parametrize(("reading", "missing"), [(0.0, False), (3.0, True)])
    def test_a_flow_may_rest_at_0_and_nowhere_else_as_in_training(self, reading, missing):
        """A pump that stands by gives no water; one that gives 3 L/s for ever is a dead meter."""
        pumped = Schema("pumped", (Channel("p", "L/s", "flow", -50.0, 50.0), PAIR.channels[1]), 1.0)
        values = np.column_stack([np.full(700, reading), np.zeros(700)])
        frozen = FrozenChannels(pumped)

        found = [frozen.step(row) for row in values]

        cleaned, _ = clean("station", series_of(values), pumped)
        assert np.isnan(found[-1][0]) == cleaned["p"].isna().all() == missing

    def test_a_channel_that_has_moved_may_rest_afterwards(self):
        values = np.zeros((800, 2))
        values[0, 0] = 1.0

        assert not np.isnan(self.through(values)).any()

    def test_one_that_moves_at_last_is_read_again(self):
        values = np.zeros((700, 2))
        values[650:, 0] = 1.0

        found = self.through(values)

        assert np.isnan(found[649, 0])
        assert found[650:, 0].tolist() == [1.0] * 50

    def test_missing_readings_count_for_nothing(self):
        values = np.zeros((900, 2))
        values[::2, 0] = np.nan

        assert not np.isnan(self.through(values)[1::2, 0]).any()

    def test_a_restored_state_goes_on(self):
        values = np.zeros((700, 2))
        first, second = FrozenChannels(PAIR), FrozenChannels(PAIR)
        for row in values[:300]:
            first.step(row)
        second.restore(json.loads(json.dumps(first.state())))

        found = [second.step(row)[0] for row in values[300:]]

        assert np.flatnonzero(np.isnan(found))[0] == FROZEN_SAMPLES - 1 - 300
