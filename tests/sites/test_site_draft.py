"""A first schema guessed from a file reads back, and the file passes its check."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.detection.rows import RowReader
from dtfl_app.sites.batadal import DATASET04
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema, read_site_schema
from tests.support.station import station_frame
from twin.schema import Channel, Schema


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
    text = path.with_name("schema.toml").read_text()
    assert (
        '# Left out: column "operator": 1200 of 1200 cells are not numbers, first '
        "'on duty' in data row 1; "
    ) in text
    assert '# Left out: column "Unnamed: 6": it has no name' in text


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_format_of_times_is_found(drafted, ending):
    """Of the readings that fit, the even one: 1/2, 1/3, ... could be days or months."""
    days = pd.date_range("2024-02-01", periods=60, freq="D")
    frame = pd.DataFrame({"t": days.strftime("%m/%d/%Y %H:%M"), "x": np.linspace(0, 5, 60)})

    site, path = drafted(frame, ending)

    assert site.time_formats == ("%m/%d/%Y %H:%M",)
    assert site.schema.period_s == 86400.0
    assert check_file(path, site).exit_code == 0


def test_columns_that_are_not_taken_are_named_where_there_is_no_other(drafted):
    with pytest.raises(DataError, match=r"no column of numbers.*\n  column \"x\": 2 of 2 cells"):
        drafted(pd.DataFrame({"t": ["2024-01-01", "2024-01-02"], "x": ["low", "high"]}))


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1000)])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_numbers_since_1970_are_found_to_be_the_time(drafted, unit, scale, ending):
    frame = pd.DataFrame({"x": np.linspace(0, 5, 60), "t": (1709251200 + np.arange(60)) * scale})

    site, path = drafted(frame, ending)

    assert (site.time, site.time_unit, site.schema.period_s) == ("t", unit, 1.0)
    raw = read_raw(path, site, "plant")
    assert raw.time[0] == np.datetime64("2024-03-01")
    if ending == ".csv":
        header, first, *_ = path.read_text().splitlines()
        row = RowReader(site, split_line(header), "plant", ()).read(split_line(first))
        assert row.time == raw.time.astype(np.int64)[0]


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p"])
def test_the_newest_row_first_is_found(drafted, form):
    times = pd.date_range("2024-01-30", periods=900, freq="7min").strftime(form)
    frame = pd.DataFrame({"when": times, "x": np.linspace(0, 5, 900)})

    site, path = drafted(frame[::-1])

    assert (site.newest_first, site.schema.period_s) == (True, 420.0)
    assert check_file(path, site).exit_code == 0
    assert not drafted(frame)[0].newest_first


def test_sensors_below_one_another_are_refused_with_the_way_to_do_it(tmp_path):
    """In a draft, and by a schema written by hand."""
    path = tmp_path / "plant.csv"
    names = ["level", "flow", "pump"] * 20
    rows = [f"2024-03-01 00:{i:02},{name},{i}.5" for i, name in enumerate(names)]
    path.write_text("\n".join(["time,sensor,value", *rows]))
    site = SiteSchema(Schema("plant", (Channel("value", "m", "level", 0.0, 99.0),), 60.0))
    message = r"'sensor' names 3 sensors \(level, flow, pump\).* in 'value'.*pivot_table"

    with pytest.raises(SchemaError, match=message):
        draft_schema(path)
    with pytest.raises(SchemaError, match=message):
        read_raw(path, site, "plant")


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
    (tmp_path / "schema.toml").write_text(draft_schema(path).toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert len(site.schema.channels) == 43
    assert (site.time, site.time_formats) == ("DATETIME", ("%d/%m/%y %H",))
    assert site.labels == LabelColumn("ATT_FLAG", unlabelled=(-999.0,))
    assert site.schema.period_s == 3600.0
    assert check_file(path, site).exit_code <= 1


def test_a_second_label_is_left_out_and_named(drafted):
    frame = station_frame(0, rows=900, surge=slice(300, 400)).rename(columns={"flag": "anomaly"})
    frame["changepoint"] = (frame.index == 300) * 1.0

    site, path = drafted(frame)

    assert site.labels == LabelColumn("anomaly")
    assert [channel.name for channel in site.schema.channels] == ["Tank-1", "Q", "P1"]
    (reason,) = draft_schema(path).left_out
    assert reason.startswith(
        "column \"changepoint\": it looks like a second label beside 'anomaly'"
    )


def test_words_of_a_label_are_drafted_and_read_back(drafted):
    frame = station_frame(0, rows=900, surge=slice(300, 400))
    frame["flag"] = np.where(frame["flag"] == 1, "Attack", "Normal")
    frame.loc[350, "flag"] = "A ttack"

    site, path = drafted(frame)

    assert site.labels == LabelColumn("flag", ("Normal",), ("Attack",), ())
    summary = check_file(path, site).summary
    assert (summary.normal, summary.abnormal, summary.events) == (800, 100, ("flagged-1",))


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

    assert "# It never changes from 0 here: set kind, low and high" in text


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"t": []}), "the file holds no rows"),
        (pd.DataFrame({"t": ["noon", "later"], "x": [1.0, 2.0]}), "no column holds times in one"),
        (pd.DataFrame({"t": ["2024-01-01", "2024-01-02"]}), "no column of numbers"),
        (
            pd.DataFrame({"t": ["2024-01-01", "2024-01-01"], "x": [1.0, 2.0]}),
            "does not go forward",
        ),
    ],
)
def test_what_cannot_be_drafted_is_refused(drafted, frame, message):
    with pytest.raises(DataError, match=message):
        drafted(frame)
