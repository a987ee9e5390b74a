"""A first schema guessed from a file reads back, and the file passes its check."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.detection.rows import RowReader
from dtfl_app.sites.batadal import DATASET04
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import CsvDialect, LabelColumn, SiteSchema, read_site_schema
from tests.support.station import station_frame
from twin.schema import Channel, Schema


@pytest.fixture
def drafted(tmp_path):
    """Write a frame, draft its schema, and read that back."""

    def draft(frame: pd.DataFrame, ending: str = ".csv"):
        path = tmp_path / f"plant{ending}"
        if ending == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        (tmp_path / "schema.toml").write_text(draft_schema(path).toml)
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


def test_semicolons_and_decimal_commas_are_found(tmp_path):
    path = tmp_path / "plant.csv"
    station_frame(0, rows=50).to_csv(path, index=False, sep=";", decimal=",")
    (tmp_path / "schema.toml").write_text(draft_schema(path).toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert (site.csv.separator, site.csv.decimal) == (";", ",")
    assert [channel.name for channel in site.schema.channels] == ["Tank-1", "Q", "P1"]
    assert check_file(path, site).exit_code <= 1


def with_words(rows: int = 60) -> pd.DataFrame:
    """A level that fails, a pump and a valve in words, a switch in truth values, and a remark."""
    frame = station_frame(0, rows=rows).drop(columns=["P1", "flag"]).astype({"Q": object})
    frame.loc[[3, 4, 30], "Q"] = "Bad Input"
    frame.loc[[7, 9], "Q"] = "-"
    frame["pump"] = np.where(frame.index % 5 < 2, "OFF", "ON")
    frame["valve"] = np.where(frame.index % 7 < 2, "Closed", "Open")
    frame.loc[[5, 6], "valve"] = "No Data"
    frame["switch"] = frame.index % 3 == 0
    frame["remark"], frame["odd"] = "", frame.index.astype(str)
    frame.loc[12, "remark"], frame.loc[20, "odd"] = "cleaned", "1.2.3"
    return frame


def test_words_among_numbers_are_missing_and_pairs_of_words_are_states(drafted):
    site, path = drafted(with_words())

    assert site.csv.missing == ("Bad Input", "-", "No Data")
    assert site.csv.states == {"OFF": 0.0, "ON": 1.0, "Closed": 0.0, "Open": 1.0}
    kinds = {channel.name: channel.kind for channel in site.schema.channels}
    assert kinds == {
        "Tank-1": "level", "Q": "other", "pump": "status", "valve": "status", "switch": "status",
    }  # fmt: skip
    values = read_raw(path, site, "plant").values
    assert np.flatnonzero(values["Q"].isna()).tolist() == [3, 4, 7, 9, 30]
    assert np.flatnonzero(values["valve"].isna()).tolist() == [5, 6]
    assert values["valve"].tolist()[:5] == [0, 0, 1, 1, 1]
    assert values["switch"].tolist()[:4] == [1, 0, 0, 1]


def test_a_gateway_reads_a_drafted_file_as_training_does(drafted, tmp_path):
    """By the schema as a model's folder keeps it: written, and read again."""
    site, path = drafted(with_words())
    (tmp_path / "kept.toml").write_text(site.to_toml())
    header, *lines = path.read_text().splitlines()
    reader = RowReader(read_site_schema(tmp_path / "kept.toml"), split_line(header), "plant", ())

    rows = [reader.read(split_line(line)) for line in lines]

    raw = read_raw(path, site, "plant")
    assert [row.time for row in rows] == raw.time.astype(np.int64).tolist()
    np.testing.assert_array_equal([row.readings for row in rows], raw.values.to_numpy())
    assert {row.bad for row in rows} == {()}


def test_a_column_that_is_not_taken_is_named_with_its_reason_and_first_odd_cell(drafted):
    _, path = drafted(with_words())

    remark, odd = draft_schema(path).left_out

    assert remark.startswith(
        "column \"remark\": 1 of 60 cells are not numbers, first 'cleaned' in data row 13; "
    )
    assert odd.startswith(
        "column \"odd\": 1 of 60 cells are not numbers, first '1.2.3' in data row 21; "
    )
    text = path.with_name("schema.toml").read_text()
    assert f"# Left out: {remark}\n# Left out: {odd}\n" in text


def test_columns_that_are_not_taken_are_named_where_there_is_no_other(drafted):
    with pytest.raises(DataError, match=r"no column of numbers.*\n  column \"x\": 2 of 2 cells"):
        drafted(pd.DataFrame({"t": ["2024-01-01", "2024-01-02"], "x": ["low", "high"]}))


def test_a_state_among_readings_is_no_reading(drafted):
    """OFF is 0 for the pump; the level in which it stands has 3 m, and not 0."""
    frame = station_frame(0, rows=50).astype({"Tank 1 [m]": object})
    frame["pump"] = np.where(frame.index % 5 < 2, "OFF", "ON")
    frame.loc[[5, 6], "Tank 1 [m]"] = "OFF"
    _, path = drafted(frame)

    (reason,) = draft_schema(path).left_out

    assert reason.startswith(
        "column \"Tank 1 [m]\": data row 6 has 'OFF', which stands for a number"
    )


@pytest.mark.parametrize(
    ("header", "row", "marks", "value"),
    [
        ("time;x", '2024-01-01 00:0{};"1.234,5{}"', (";", ",", "."), 1234.5),
        ("time,x", '2024-01-01 00:0{},"1,234.5{}"', (",", ".", ","), 1234.5),
        ("time;x", "2024-01-01 00:0{};12 345,5{}", (";", ",", " "), 12345.5),
        ("time\tx", "2024-01-01 00:0{}\t12'345.5{}", ("\t", ".", "'"), 12345.5),
        ("time;x", "2024-01-01 00:0{};3,041{}", (";", ",", ""), 3.041),
        ("time,x", "2024-01-01 00:0{},3.041{}", (",", ".", ""), 3.041),
    ],
)
def test_marks_in_numbers_are_found(tmp_path, header, row, marks, value):
    path = tmp_path / "plant.csv"
    path.write_text("\n".join([header, *(row.format(i, i) for i in range(9))]), encoding="utf-8")
    (tmp_path / "schema.toml").write_text(draft_schema(path).toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert (site.csv.separator, site.csv.decimal, site.csv.thousands) == marks
    assert read_raw(path, site, "plant").values["x"][0] == value


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


EXPORTED = [
    "# exported by historian",
    "# site: north",
    "",
    "time,Temp °C,flow m³/h",
    "-,[°C],[m³/h]",
    *(f"2024-03-01 00:{i:02},{20 + i}.5,{i}" for i in range(20)),
]


def test_encoding_lines_before_the_header_and_a_row_of_units_are_found(tmp_path):
    """And a gateway, which reads line by line, finds the same header and rows: see its tests."""
    path = tmp_path / "plant.csv"
    path.write_text("\n".join(EXPORTED) + "\n", encoding="cp1252")
    (tmp_path / "schema.toml").write_text(draft_schema(path).toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert (site.csv.encoding, site.csv.header_row, site.csv.skip_rows) == ("cp1252", 3, 1)
    assert site.columns == {"Temp-°C": "Temp °C", "flow-m³-h": "flow m³/h"}
    assert read_raw(path, site, "plant").values["Temp-°C"].tolist()[:2] == [20.5, 21.5]
    assert read_raw(path, site, "plant").rows[-1] == 20


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_found(tmp_path, encoding):
    path = tmp_path / "plant.csv"
    path.write_bytes("time,level °C\r\n2024-01-01,1\r\n2024-01-02,2\r\n".encode(encoding))

    (tmp_path / "site.toml").write_text(draft_schema(path).toml, encoding="utf-8")

    site = read_site_schema(tmp_path / "site.toml")
    assert site.csv.encoding == encoding
    assert load_own_file(path, site)[0]["level-°C"].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match="UTF-16"):
        load_own_file(path, replace(site, csv=CsvDialect()))


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


def two_files(folder, **more):
    """North, and south with readings of twice the span and other words; `more` goes into south."""
    north = station_frame(0, rows=900)
    north["P1"] = np.where(north.index % 7 < 4, "ON", "OFF")
    north.loc[[3, 4], "P1"] = "No Data"
    south = north.copy()
    for column in ("Tank 1 [m]", "Q"):
        middle = south[column].mean()
        south[column] = (middle + 2 * (south[column] - middle)).round(3)
    south["P1"] = np.where(south.index % 9 < 4, "running", "stopped")
    south.loc[[7, 8], "P1"] = "-"
    south["flag"] = (south.index > 800) * 2
    paths = folder / "north.csv", folder / "south.csv"
    for frame, path in zip((north, south.assign(**more)), paths, strict=True):
        frame.to_csv(path, index=False)
    return paths


def test_several_files_give_one_schema_over_all(tmp_path):
    north, south = two_files(tmp_path, extra=1.0)
    draft = draft_schema(north, south)
    (tmp_path / "schema.toml").write_text(draft.toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert site.csv.states == {"ON": 1.0, "OFF": 0.0, "running": 1.0, "stopped": 0.0}
    assert site.csv.missing == ("No Data", "-")
    assert site.labels == LabelColumn("flag", abnormal=(2.0,))
    assert site.schema.name == tmp_path.name
    assert draft.left_out == ('column "extra": north.csv does not have it',)
    assert "# A first schema for north.csv, south.csv, guessed from 1800 rows" in draft.toml
    level = site.schema.channels[0]
    assert level.low <= pd.read_csv(south)["Tank 1 [m]"].min()
    for path in (north, south):
        assert check_file(path, site).exit_code <= 1


def test_a_range_guessed_from_one_file_fits_the_next_sites(tmp_path):
    """A guess that is too narrow makes missing readings of good ones, or refuses the file."""
    north, south = two_files(tmp_path, P1="ON", flag=0)
    (tmp_path / "schema.toml").write_text(draft_schema(north).toml)
    site = read_site_schema(tmp_path / "schema.toml")

    found = check_file(south, site)

    assert found.exit_code <= 1
    assert [channel.outside for channel in found.channels] == [0, 0, 0]
    level, flow, pump = site.schema.channels
    assert (level.low, level.high) == (0.0, 20.0)
    assert (flow.kind, flow.low, flow.high) == ("other", -20.0, 60.0)
    assert (pump.low, pump.high) == (0.0, 1.0)
    text = (tmp_path / "schema.toml").read_text()
    assert "low and high are a wide guess: take what is physically possible from the data" in text


def test_a_column_that_cannot_be_read_is_named_with_its_file_and_row_there(tmp_path):
    extra = ["1.5"] * 899 + ["1.2.3"]
    north, south = two_files(tmp_path, Q=extra)

    (reason,) = draft_schema(north, south).left_out

    assert reason.startswith(
        "column \"Q\": in south.csv 1 of 900 cells are not numbers, first '1.2.3' in data row 900;"
    )


def test_files_that_are_written_differently_take_a_draft_each(tmp_path):
    north, south = two_files(tmp_path)
    pd.read_csv(south).to_csv(south, index=False, sep=";")

    with pytest.raises(DataError, match=r"south\.csv: it is not written as .*north\.csv is"):
        draft_schema(north, south)


def test_a_file_that_is_sampled_otherwise_is_named(tmp_path):
    north, south = two_files(tmp_path)
    pd.read_csv(south)[::5].to_csv(south, index=False)

    draft = draft_schema(north, south)

    (said,) = draft.unsure
    assert said.startswith(
        "period-s = 60 is that of most rows, but south.csv is sampled every 300 s"
    )
    assert f"# {said}\n" in draft.toml


def test_files_of_two_orders_take_a_draft_each(tmp_path):
    north, south = two_files(tmp_path)
    pd.read_csv(south)[::-1].to_csv(south, index=False)

    with pytest.raises(
        DataError, match=r"south\.csv: its newest row is the first, that of .*north"
    ):
        draft_schema(north, south)
    assert 'order = "newest-first"' in draft_schema(south).toml


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


@pytest.mark.parametrize(
    ("rows", "column", "reading"),
    [
        (['01.03.2024 00:{0:02}:00;"{1},5"', ";"], "x", 7.5),
        (['"2024-03-01 00:{0:02}:00","{1},25"', ","], "x", 7.25),
        (["2024-03-01 00:{0:02}:00,000;{1}.5", ";"], "x", 7.5),
        (["2024-03-01 00:{0:02}:00;{1}.5;", ";"], "x", 7.5),
    ],
)
def test_marks_are_those_of_most_numbers_whatever_times_and_ends_of_rows_have(
    rows, column, reading, tmp_path
):
    """Behind lines before the header: decimal commas in quotes, commas in times, ends of rows."""
    form, separator = rows
    path = tmp_path / "plant.csv"
    body = [form.format(i, 7 + i % 3) for i in range(12)]
    path.write_text("\n".join(["Export", "of a tag", f"t{separator}{column}", *body]) + "\n")
    (tmp_path / "schema.toml").write_text(draft_schema(path).toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert (site.csv.header_row, site.csv.separator) == (2, separator)
    assert read_raw(path, site, "plant").values["x"].iloc[0] == reading


def test_groups_above_the_header_and_a_count_of_rows_are_seen(tmp_path):
    path = tmp_path / "plant.csv"
    body = [f"{i + 1},2024-03-01 00:{i:02},{i % 5}.5,3" for i in range(30)]
    path.write_text("\n".join([",,P1,P1", "Row,time,flow,level", *body]) + "\n")

    draft = draft_schema(path)

    (tmp_path / "schema.toml").write_text(draft.toml)
    site = read_site_schema(tmp_path / "schema.toml")
    assert (site.csv.header_row, site.schema.names) == (1, ["flow", "level"])
    assert draft.left_out == ('column "Row": it counts the rows',)
