"""What a line of a site's file means: numbers, times, and everything that is neither."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import SchemaError
from dtfl_app.detection.rows import RowReader, SensorRow
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.columns import parse_times
from dtfl_app.sites.site_schema import CsvDialect, SiteSchema
from twin.schema import Channel, Schema

PAIR = Schema("pair", tuple(Channel(n, "m", "level", 0.0, 9.0) for n in ("a", "b")), 60.0)
SITE = SiteSchema(PAIR, {"b": "Level B"}, time="when", time_formats=("%d/%m/%y %H", "ISO8601"))
HEADER = ["when", "other", "Level B", "a"]


def reader(optional=()) -> RowReader:
    return RowReader(SITE, HEADER, "site.csv", optional)


def read(line: str, form="ISO8601") -> SensorRow | str:
    made = reader()
    made.form = form
    return made.read(split_line(line))


def test_columns_are_found_by_their_name_in_any_order():
    row = read("2024-01-01T00:00:00,x,2.5,1.5")

    assert isinstance(row, SensorRow)
    assert row.readings.tolist() == [1.5, 2.5]
    assert row.bad == ()


@pytest.mark.parametrize("cell", ["", "  ", "NA", "NaN", "null", "None", "#N/A"])
def test_an_empty_cell_is_a_missing_reading_and_no_fault(cell):
    row = read(f"2024-01-01,x,{cell},1")

    assert np.isnan(row.readings[1])
    assert row.bad == ()


@pytest.mark.parametrize("cell", ["bad", "1_000", "1.2.3", "0x10", "--"])
def test_a_cell_that_is_no_number_is_missing_and_named(cell):
    row = read(f"2024-01-01,x,{cell},1")

    assert np.isnan(row.readings[1])
    assert row.bad == ("b",)


@pytest.mark.parametrize("line", ["2024-01-01,x,1", "2024-01-01,x,1,2,3"])
def test_a_row_of_another_width_is_none(line):
    assert "the header 4" in read(line)


@pytest.mark.parametrize("time", ["yesterday", "", "2024-13-01", "01/01/24 00"])
def test_a_time_in_another_format_makes_no_row(time):
    assert "is not a time" in read(f"{time},x,1,2")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d/%m/%y %H", "04/07/16 13"),
        ("ISO8601", "2016-07-04 13:05:06"),
        ("ISO8601", "2016-07-04T13:05:06.250"),
        ("ISO8601", "2016-07-04T13:05:06+02:00"),
        ("ISO8601", "2016-07-04T13:05:06Z"),
        ("ISO8601", "20160704"),
    ],
)
def test_times_are_those_that_training_reads(form, text, tmp_path):
    wanted = parse_times(pd.Series([text]), tmp_path, (form,))

    assert read(f"{text},x,1,2", form).time == int(wanted.astype(np.int64)[0])


def test_the_first_format_that_fits_the_first_row_is_used_for_all():
    made = reader()

    first = made.read(["02/01/24 00", "x", "1", "2"])

    assert first.time == (datetime(2024, 1, 2) - datetime(1970, 1, 1)).total_seconds() * 1e9
    assert made.form == "%d/%m/%y %H"
    assert "is not a time" in made.read(["2024-01-02", "x", "1", "2"])


def test_a_missing_column_is_refused_unless_the_channel_is_ignored():
    with pytest.raises(
        SchemaError, match=r"site\.csv: columns \['Level B'\] are missing.*--schema"
    ):
        RowReader(SITE, ["when", "a"], "site.csv", ())

    row = RowReader(SITE, ["when", "a"], "site.csv", ["b"]).read(["2024-01-01", "3"])

    assert row.readings[0] == 3.0
    assert np.isnan(row.readings[1])


def test_two_columns_of_one_name_are_refused_with_their_places():
    with pytest.raises(SchemaError, match=r"site\.csv: columns 2 and 4 are both called 'a'"):
        RowReader(SITE, ["when", "a", "Level B", "a"], "site.csv", ())


def test_words_for_states_and_for_missing_readings_are_those_of_the_schema():
    words = replace(SITE, csv=CsvDialect(missing=("Bad Input",), states={"OPEN": 1.0}))

    row = RowReader(words, HEADER, "site.csv", ()).read(["2024-01-01", "x", "Bad Input", "open"])

    np.testing.assert_array_equal(row.readings, [1.0, np.nan])
    assert row.bad == ()


def test_quotes_and_spaces_around_cells_are_taken_off():
    assert split_line('a, "b, c" ,  1.5 ') == ["a", "b, c", "1.5"]


def test_semicolons_and_decimal_commas_are_read_as_the_schema_says():
    continental = replace(SITE, csv=CsvDialect(";", ","))
    reader = RowReader(continental, HEADER, "site.csv", ())
    line = "2024-01-01 00:00;" + ";".join(["1,5"] * (len(HEADER) - 1))

    row = reader.read(split_line(line, ";"))

    assert row.readings.tolist() == [1.5] * len(row.readings)
    assert row.bad == ()
    assert len(reader.read(split_line(line.replace("1,5", "1.5"), ";")).bad) == len(row.readings)
