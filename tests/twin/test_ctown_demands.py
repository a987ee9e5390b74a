"""Random demand: its moments, its week, its seed."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import TwinError
from twin.ctown.demands import ar1_noise, check_demand, demand_series
from twin.ctown.plant import DmaDemand

MONDAY = pd.Timestamp("2014-01-06")


def test_noise_has_the_asked_deviation_and_autocorrelation():
    """40,000 samples of an AR(1) process with ar 0.5: about 13,000 independent ones, so the
    estimates are good to about 1%.
    """
    noise = ar1_noise(40_000, sd=0.2, ar=0.5, rng=np.random.default_rng(0))

    assert noise.std() == pytest.approx(0.2, rel=0.03)
    assert np.corrcoef(noise[:-1], noise[1:])[0, 1] == pytest.approx(0.5, abs=0.02)


def test_without_noise_the_series_is_mean_times_pattern_of_the_hour():
    """Mean 10 and pattern 0.5 (hours 0-11) / 1.5 (12-23): 5 and 15 L/s, from 10:00 on."""
    demand = DmaDemand(10.0, (0.5,) * 12 + (1.5,) * 12, noise_sd=0.0)

    series = demand_series(demand, MONDAY + pd.Timedelta(hours=10), 4, np.random.default_rng(0))

    assert series.tolist() == [5.0, 5.0, 15.0, 15.0]


def test_a_weekly_pattern_starts_on_monday():
    demand = DmaDemand(1.0, (0.0,) * 144 + (7.0,) * 24, noise_sd=0.0)

    series = demand_series(demand, MONDAY, 168, np.random.default_rng(0))

    assert (np.flatnonzero(series) == np.arange(144, 168)).all()


def test_a_season_peaks_in_mid_july():
    demand = DmaDemand(10.0, (1.0,) * 24, noise_sd=0.0, season=0.2)

    series = demand_series(demand, pd.Timestamp("2014-01-01"), 8760, np.random.default_rng(0))

    assert series.max() == pytest.approx(12.0, abs=0.01)
    assert np.argmax(series) // 24 + 1 == 196
    assert series.mean() == pytest.approx(10.0, rel=0.01)


def test_demand_never_turns_negative():
    demand = DmaDemand(10.0, (1.0,) * 24, noise_sd=0.9)

    series = demand_series(demand, MONDAY, 2000, np.random.default_rng(0))

    assert series.min() == 0.0


@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        (DmaDemand(0.0, (1.0,) * 24), "mean demand"),
        (DmaDemand(1.0, (1.0,) * 23), "23 values"),
        (DmaDemand(1.0, (-1.0,) * 24), "none below 0"),
        (DmaDemand(1.0, (1.0,) * 24, noise_sd=1.0), "noise_sd"),
        (DmaDemand(1.0, (1.0,) * 24, noise_ar=-0.1), "noise_ar"),
        (DmaDemand(1.0, (1.0,) * 24, season=1.5), "season"),
    ],
)
def test_an_impossible_demand_is_refused_with_its_reason(demand, reason):
    with pytest.raises(TwinError, match=f"DMA3.*{reason}"):
        check_demand("DMA3", demand)
