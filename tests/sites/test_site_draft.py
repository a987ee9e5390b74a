"""A first schema guessed from a file reads back, and the file passes its check."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.sites.batadal import DATASET04
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import LabelColumn, read_site_schema
from tests.support.station import station_frame


@pytest.fixture
def drafted(tmp_path):
    """Write a frame, draft its schema, and read that back."""

    def draft(frame: pd.DataFrame, ending: str = ".csv"):
        path = tmp_path / f"plant{ending}"
        if ending == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        (tmp_path / "schema.toml").write_text(draft_schema(path))
        return read_site_schema(tmp_path / "schema.toml"), path

    return draft


def test_a_draft_reads_back_and_its_file_passes(drafted):
    frame = station_frame(0, rows=1200, surge=slice(300, 400))
    frame["P1"], frame["operator"] = frame.index % 7 < 4, "on duty"
    frame[""] = frame.index

    site, path = drafted(frame.astype({"P1": int}))

    assert (site.time, site.time_formats, site.schema.period_s) == (
        "when", ("%d/%m/%Y %H:%M",), 60.0,
    )  # fmt: skip
    assert site.columns == {"Tank-1": "Tank 1 [m]", "Q": "Q", "P1": "P1"}
    tank, flow, pump = site.schema.channels
    assert (tank.unit, tank.kind, flow.unit) == ("m", "level", "?")
    assert (pump.kind, pump.low, pump.high) == ("status", 0.0, 1.0)
    assert tank.low < frame["Tank 1 [m]"].min() < frame["Tank 1 [m]"].max() < tank.high
    assert site.labels == LabelColumn("flag")
    assert check_file(path, site).exit_code == 0
    assert (
        '# Left out, as they hold no readings: ["operator", "Unnamed: 6"]'
        in path.with_name("schema.toml").read_text()
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_format_of_times_is_found(drafted, ending):
    """Of the readings that fit, the even one: 1/2, 1/3, ... could be days or months."""
    days = pd.date_range("2024-02-01", periods=60, freq="D")
    frame = pd.DataFrame({"t": days.strftime("%m/%d/%Y %H:%M"), "x": np.linspace(0, 5, 60)})

    site, path = drafted(frame, ending)

    assert site.time_formats == ("%m/%d/%Y %H:%M",)
    assert site.schema.period_s == 86400.0
    assert check_file(path, site).exit_code == 0


def test_semicolons_and_decimal_commas_are_found(tmp_path):
    path = tmp_path / "plant.csv"
    station_frame(0, rows=50).to_csv(path, index=False, sep=";", decimal=",")
    (tmp_path / "schema.toml").write_text(draft_schema(path))

    site = read_site_schema(tmp_path / "schema.toml")

    assert (site.csv.separator, site.csv.decimal) == (";", ",")
    assert [channel.name for channel in site.schema.channels] == ["Tank-1", "Q", "P1"]
    assert check_file(path, site).exit_code <= 1


def test_a_time_index_is_found(drafted):
    frame = pd.DataFrame(
        {"x": np.linspace(0, 5, 900)},
        index=pd.date_range("2024-02-01", periods=900, freq="5s", name="time"),
    )

    site, path = drafted(frame, ".parquet")

    assert (site.time, site.time_formats, site.schema.period_s) == ("time", ("ISO8601",), 5.0)
    assert check_file(path, site).exit_code <= 1


def test_a_public_file_is_drafted_whole(data_dir, tmp_path):
    path = data_dir / "batadal" / DATASET04
    (tmp_path / "schema.toml").write_text(draft_schema(path))

    site = read_site_schema(tmp_path / "schema.toml")

    assert len(site.schema.channels) == 43
    assert (site.time, site.time_formats) == ("DATETIME", ("%d/%m/%y %H",))
    assert site.labels == LabelColumn("ATT_FLAG", unlabelled=(-999.0,))
    assert site.schema.period_s == 3600.0
    assert check_file(path, site).exit_code <= 1


def test_names_that_may_not_be_are_changed(drafted):
    frame = pd.DataFrame(
        {
            "stamp": pd.date_range("2024-02-01", periods=900, freq="min").astype(str),
            "event": 1.5,
            "time": np.linspace(0, 1, 900),
            "a/b": np.linspace(0, 1, 900),
            "a:b": np.linspace(0, 1, 900),
        }
    )

    site, _ = drafted(frame)

    assert site.columns == {"time-reading": "time", "a-b": "a/b", "a-b-2": "a:b"}


def test_a_channel_that_never_moves_is_left_to_the_owner(drafted, tmp_path):
    drafted(station_frame(0, rows=50))

    text = (tmp_path / "schema.toml").read_text()

    assert "# It never changes from 0 in this file: set kind, low and high" in text


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"t": []}), "the file holds no rows"),
        (pd.DataFrame({"t": ["noon", "later"], "x": [1.0, 2.0]}), "no column holds times in one"),
        (pd.DataFrame({"t": ["2024-01-01", "2024-01-02"]}), "no column of numbers"),
        (
            pd.DataFrame({"t": ["2024-01-02", "2024-01-01"], "x": [1.0, 2.0]}),
            "does not go forward",
        ),
    ],
)
def test_what_cannot_be_drafted_is_refused(drafted, frame, message):
    with pytest.raises(DataError, match=message):
        drafted(frame)
