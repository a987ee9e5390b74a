"""How a file is written, found by a draft: marks, words, encoding, what is about the header."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.detection.rows import RowReader
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import CsvDialect, read_site_schema
from tests.support.station import station_frame


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
