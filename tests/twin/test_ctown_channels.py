"""The 43 channels against BATADAL's own files."""

import pandas as pd
import pytest

from twin.ctown.scada import PLC_CHANNELS, SCADA


def test_there_are_43_hourly_channels():
    assert len(SCADA.channels) == 43
    assert SCADA.period_s == 3600


def test_every_channel_belongs_to_one_plc():
    owned = [channel for channels in PLC_CHANNELS.values() for channel in channels]

    assert sorted(owned) == sorted(SCADA.names)


@pytest.mark.parametrize("name", ["BATADAL_dataset03.csv", "BATADAL_dataset04.csv"])
def test_batadal_has_these_columns_in_this_order_and_within_range(data_dir, name):
    frame = pd.read_csv(data_dir / "batadal" / name, skipinitialspace=True)

    assert list(frame.columns[1:-1]) == SCADA.names
    for channel in SCADA.channels:
        assert frame[channel.name].between(channel.low, channel.high).all(), channel.name
