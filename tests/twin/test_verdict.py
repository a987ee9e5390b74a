"""What to do about the distance between a twin and a plant."""

import numpy as np
import pandas as pd
import pytest

from twin.compare import Distance
from twin.schema import Channel, Schema
from twin.verdict import compared, joint_verdict

SCHEMA = Schema(
    "station",
    (Channel("level", "m", "level", 0, 100), Channel("pump", "1", "status", 0, 1)),
    period_s=3600,
)
WAVE = 50 + 10 * np.sin(np.arange(400) / 20)


def series(level, pump=None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "instance": "a",
            "time": pd.date_range("2020-01-06", periods=len(level), freq="h", unit="ns"),
            "level": np.asarray(level, dtype=float),
            "pump": (np.arange(len(level)) % 2.0) if pump is None else pump,
            "label": np.int8(0),
            "event": "",
        }
    )


def verdict(twin, plant, channel: str = "level") -> tuple[str, str]:
    row = compared(twin, plant, SCHEMA).loc[channel]
    return row["verdict"], row["reason"]


def test_a_channel_that_fits_is_for_use():
    assert verdict(series(WAVE), series(np.roll(WAVE, 7))) == ("use", "KS 0.00")


@pytest.mark.parametrize("wrong", [WAVE + 20, 50 + (WAVE - 50) * 3])
def test_a_level_or_spread_that_is_off_is_to_be_recalibrated(wrong):
    word, reason = verdict(series(wrong), series(WAVE))

    assert word == "recalibrate"
    assert "0.00 once mean and spread are taken out" in reason


def test_another_shape_is_left_out_and_the_reason_has_all_figures():
    """Of a wave's readings most lie at its ends, of a spike's nearly all at its foot."""
    spikes = np.where(np.arange(400) % 50 == 0, 90.0, 20.0)

    word, reason = verdict(series(spikes), series(WAVE))

    assert word == "leave out"
    assert reason.startswith("mean 21.4 and not 50.")
    assert "KS 0.9" in reason


def test_a_channel_that_stands_still_on_one_side_alone_is_left_out():
    assert verdict(series(np.full(400, 50.0)), series(WAVE))[0] == "leave out"


def test_constants_apart_are_recalibrated_and_those_a_rounding_apart_are_used():
    """A thousandth of the range, 0 to 100 m, is 0.1 m."""
    still = series(np.full(400, 50.0))

    assert verdict(series(np.full(400, 60.0)), still)[0] == "recalibrate"
    assert verdict(series(np.full(400, 50.05)), still)[0] == "use"


def test_a_pump_that_runs_more_often_is_recalibrated():
    often = (np.arange(400) % 5 > 0).astype(float)

    assert verdict(series(WAVE, often), series(WAVE), "pump")[0] == "recalibrate"
    assert verdict(series(WAVE, np.ones(400)), series(WAVE), "pump")[0] == "leave out"


@pytest.mark.parametrize(
    ("wrong", "word"),
    [(WAVE, "use"), (WAVE + 20, "recalibrate"), (np.full(400, 90.0), "leave out")],
)
def test_the_joint_verdict_goes_by_the_mean_and_tells_what_a_forest_sees(wrong, word):
    table = compared(series(wrong), series(WAVE), SCHEMA)

    found = joint_verdict(table, Distance(float(table["ks"].mean()), 0.9))

    assert found.word == word
    assert "channels hang together otherwise" in found.reason
