"""A file in pieces: what is read channel by channel, and how much of it is in memory."""

import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.sites.own_files import order, read_own_file
from dtfl_app.sites.raw_files import read_spooled
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_schema import SiteSchema
from dtfl_app.sites.spool import ChannelSpool, spool_of
from dtfl_app.sites.stretches import GapFilling
from tests.support.station import station_frame, station_schema
from twin.schema import Channel, Schema


def wide_site(channels: int) -> SiteSchema:
    names = [f"c{i}" for i in range(channels)]
    made = tuple(Channel(name, "m", "other", 0.0, 10.0) for name in names)
    return SiteSchema(Schema("wide", made, 60.0))


def wide_file(path: Path, channels: int, rows: int) -> Path:
    """Readings change from row to row, or a channel would be one long run."""
    text = [",".join(f"{(i + k) % 7 + 0.125:.4f}" for i in range(channels)) for k in range(7)]
    minutes = np.datetime64("2024-01-01T00:00") + np.arange(rows)
    lines = (f"{minute},{text[k % 7]}" for k, minute in enumerate(minutes))
    header = ",".join(["time", *(f"c{i}" for i in range(channels))])
    path.write_text("\n".join([header, *lines, ""]))
    return path


def peak_of_check(path: Path, site: SiteSchema) -> int:
    tracemalloc.start()
    try:
        assert check_file(path, site).summary is not None
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_check_does_not_grow_with_the_readings(tmp_path):
    """60 channels, 20,000 and 60,000 rows, so 40,000 x 60 readings more: 19 MB of numbers once.

    In memory stay times, labels, names and one channel, with what is worked out from it: fewer
    than 30 numbers of 8 bytes per row, half of the readings. A chunk has 4 MB of text, 8,600
    rows, in both.
    """
    site = wide_site(60)
    small, large = (wide_file(tmp_path / f"{n}.csv", 60, n) for n in (20_000, 60_000))
    peak_of_check(small, site)  # what is imported once

    growth = peak_of_check(large, site) - peak_of_check(small, site)

    assert growth < 40_000 * 30 * 8


def one_site(tmp_path: Path, **changes) -> SiteSchema:
    return replace(station_schema(tmp_path), **changes)


FRAMES = {
    "plain": station_frame(0, rows=50, surge=slice(10, 20)),
    "repeats": pd.concat([station_frame(0, rows=50), station_frame(0, rows=50)[20:30]]),
    "gaps": station_frame(0, rows=50).drop(index=[3, 20, 21, 40]),
    "recordings": station_frame(0, rows=50).assign(instance=["a"] * 20 + ["b"] * 30).drop(index=9),
    "newest first": station_frame(0, rows=50, surge=slice(10, 20))[::-1],
}


@pytest.mark.parametrize(
    "filling", [GapFilling(), GapFilling(300, "hold"), GapFilling(300, "interpolate")]
)
@pytest.mark.parametrize("frame", FRAMES)
def test_read_channel_by_channel_or_at_once_a_file_is_the_same(tmp_path, frame, filling):
    site = one_site(tmp_path, gaps=filling, newest_first=frame == "newest first")
    path = tmp_path / "north.csv"
    FRAMES[frame].to_csv(path, index=False)

    at_once = read_own_file(path, site)
    with read_spooled(path, site, "north") as raw:
        late = order(raw, site, path, "north")
        readings = {name: late.late.read(name) for name in site.schema.names}

    for name, values in readings.items():
        np.testing.assert_array_equal(values, at_once.series[name].to_numpy())
    keys = at_once.series.drop(columns=site.schema.names)
    pd.testing.assert_frame_equal(late.series, keys)
    assert late.rows.tolist() == at_once.rows.tolist()
    assert late.repeated.tolist() == at_once.repeated.tolist()


def test_readings_come_back_by_channel_from_blocks_of_any_length():
    blocks = [np.arange(6.0).reshape(2, 3), np.empty((2, 0)), np.array([[np.nan], [-0.0]])]
    with spool_of(["a", "b"]) as spool:
        for block in blocks:
            spool.add(list(block))
        found = [spool.channel("b"), spool.channel("a")]

    np.testing.assert_array_equal(found, [[3.0, 4.0, 5.0, -0.0], [0.0, 1.0, 2.0, np.nan]])


def test_a_cell_that_is_no_number_is_counted_over_all_chunks(tmp_path):
    """Two in the first chunk of text and one in the last, 30,000 rows of 60 channels below."""
    site, path = wide_site(60), wide_file(tmp_path / "site.csv", 60, 30_000)
    lines = path.read_text().splitlines()
    for row in (7, 11, 29_999):
        lines[row] = lines[row].replace(",", ",bad", 1)
    path.write_text("\n".join(lines))

    with pytest.raises(DataError, match=r"data row 7, column 'c0': 'bad.*\(3 such cells\)"):
        read_own_file(path, site)
    found = check_file(path, site)

    assert "data row 7, column 'c0'" in found.findings[0].what


def test_a_check_says_so_where_no_temporary_file_can_be_written(tmp_path, monkeypatch):
    path = tmp_path / "north.csv"
    station_frame(0, rows=50).to_csv(path, index=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    found = check_file(path, station_schema(tmp_path))

    assert found.exit_code == 2
    assert "TMPDIR" in found.findings[0].what


def test_a_full_disk_is_an_error_that_names_the_way_out():
    with Path("/dev/full").open("wb+", buffering=0) as full:
        spool = ChannelSpool(full, ["a"])
        with pytest.raises(DataError, match=r"No space left.*TMPDIR"):
            spool.add([np.zeros(3)])
