"""A cell means the same alone, at a gateway, as in the column that training reads."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtfl_app.core.errors import DataError
from dtfl_app.detection.rows import RowReader
from dtfl_app.sites.cells import (
    EPOCHS,
    MISSING,
    CellGrammar,
    fitting_format,
    parse_time,
    split_line,
)
from dtfl_app.sites.columns import parse_numbers, parse_times
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.readers import read_table
from dtfl_app.sites.site_schema import SiteSchema
from twin.schema import Channel, Schema

FORMATS = ("%d/%m/%y %H", "ISO8601")
EXPORT = CsvDialect(
    decimal=",",
    separator=";",
    thousands=".",
    missing=("Bad Input", "-", "-999"),
    states={"OFF": 0.0, "ON": 1.0},
)


def column(tmp_path, cell):
    """The numbers of a column with this cell between 1 and 2."""
    path = tmp_path / "site.csv"
    path.write_text(f'row,level\n0,1\n1,"{cell}"\n2,2\n')
    return parse_numbers(read_table(path), ["level"], path)["level"]


@pytest.mark.parametrize("word", sorted(MISSING))
def test_a_word_for_no_reading_is_one_in_a_column_too(word, tmp_path):
    np.testing.assert_array_equal(column(tmp_path, word), [1.0, np.nan, 2.0])


@pytest.mark.parametrize("cell", ["7", "-1.5", "+4", "2e3", ".5", "3.", "True", "FALSE", "inf"])
def test_a_number_is_the_one_that_a_column_holds(cell, tmp_path):
    assert CellGrammar().read(cell) == column(tmp_path, cell)[1]


@pytest.mark.parametrize(
    "cell", ["bad", "1_000", "1.2.3", "0x10", "--", "NONE", "nothing", "\uff11"]
)
def test_what_is_neither_is_none_alone_and_refused_in_a_column(cell, tmp_path):
    assert CellGrammar().read(cell) is None
    with pytest.raises(DataError, match=r"data row 2, column 'level': .* is not a number"):
        column(tmp_path, cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.234,5", 1234.5),
        ("-1.234.567", -1234567.0),
        ("1,5", 1.5),
        ("on", 1.0),
        (" OFF ", 0.0),
        ("Bad input", math.nan),
        ("-", math.nan),
        ("-999,0", math.nan),
        ("", math.nan),
        ("1.2", None),
        ("12.34", None),
        ("1,234.5", None),
        ("open", None),
    ],
)
def test_a_schemas_words_and_marks_decide(cell, value):
    found = EXPORT.grammar.read(cell)

    assert found == value or (value is not None and math.isnan(value) and math.isnan(found))


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f"])
def test_a_space_between_thousands_may_be_any(space):
    assert CellGrammar(thousands=" ").read(f"12{space}345.5") == 12345.5


@pytest.mark.parametrize(
    ("grammar", "cell", "advice"),
    [
        (CellGrammar(), "3,041", "it has ',' where the schema says decimal = '.'"),
        (CellGrammar(","), "3.041", "it has '.' where the schema says decimal = ','"),
        (CellGrammar(), "1 234.5", 'thousands = " "'),
        (CellGrammar(), "Bad Input", 'missing = ["Bad Input"]'),
        (CellGrammar(), "ON", 'states = { "ON" = 1 }'),
    ],
)
def test_what_cannot_be_read_says_which_key_helps(grammar, cell, advice):
    assert advice in grammar.advice(cell)


@pytest.mark.parametrize(
    ("text", "form"), [("04/07/16 13", FORMATS[0]), ("2016-07-04 13:00", FORMATS[1])]
)
def test_the_first_time_decides_on_the_format_of_its_column(text, form, tmp_path):
    assert fitting_format(text, FORMATS) == form
    found = parse_times(pd.Series([text]), tmp_path, FORMATS)
    assert found.astype(np.int64)[0] == parse_time(text, form)
    other = next(one for one in ("04/07/16 13", "2016-07-04 13:00") if one != text)
    with pytest.raises(DataError, match="data row 2"):
        parse_times(pd.Series([text, other], name="when"), tmp_path, FORMATS)


def test_a_time_of_no_format_fits_none():
    assert fitting_format("yesterday", FORMATS) is None


@pytest.mark.parametrize(
    "text",
    [
        "2024/03/01 00:05:00",
        "2024-3-1 0:05",
        "2024.03.01 00:05",
        "2024-03-01t00:05",
        "2024-03-01  00:05",
        "20240301T000500",
        "20240301 0005",
        "2024-03-01T00:05:00.0000000",
        "2024-03-01 00:05:00,0",
        "2024-03-01 00:05Z",
        "2024-03-01 05:35 +05:30",
        "2024-02-29T19:05-05",
    ],
)
def test_one_instant_in_many_forms_is_one(text):
    assert parse_time(text, "ISO8601") == pd.Timestamp("2024-03-01 00:05").value


@pytest.mark.parametrize(
    ("text", "form", "wanted"),
    [
        ("2024-02-29 24:00", "ISO8601", "2024-03-01 00:00"),
        ("2024-03-01 00:00:00.1234567", "ISO8601", "2024-03-01 00:00:00.1234567"),
        ("2024-03", "ISO8601", "2024-03-01"),
        ("3/1/2024 12:05:00 AM", "%m/%d/%Y %I:%M:%S %p", "2024-03-01 00:05"),
        ("01-MAR-24 01:02:03.5", "%d-%b-%y %H:%M:%S.%f", "2024-03-01 01:02:03.5"),
        ("Fri 1 March 1999 07h", "%a %d %B %Y %Hh", "1999-03-01 07:00"),
        ("01.03.2024 24:00", "%d.%m.%Y %H:%M", "2024-03-02 00:00"),
        ("01032024 0005 +0200", "%d%m%Y %H%M %z", "2024-02-29 22:05"),
    ],
)
def test_a_time_is_the_instant_that_it_says(text, form, wanted):
    assert parse_time(text, form) == pd.Timestamp(wanted).as_unit("ns").value


@pytest.mark.parametrize(
    ("text", "unit", "wanted"),
    [
        ("1709251200", "s", "2024-03-01"),
        ("1709251200.25", "s", "2024-03-01 00:00:00.25"),
        ("1709251200.0", "s", "2024-03-01"),
        ("-0.5", "s", "1969-12-31 23:59:59.5"),
        ("1709251200001", "ms", "2024-03-01 00:00:00.001"),
    ],
)
def test_a_number_since_1970_is_the_instant_that_it_says(text, unit, wanted):
    assert parse_time(text, EPOCHS[unit][0]) == pd.Timestamp(wanted).as_unit("ns").value


@pytest.mark.parametrize("text", ["", "1e9", "2024-03-01", "9" * 18])
def test_what_is_no_number_since_1970_fits_nothing(text):
    assert parse_time(text, EPOCHS["s"][0]) is None


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-13-01", "2024-03-01 24:01", "2024-03-01 00:60", "1600-01-01", "2300-01-01",
     "1709251200", "2024-03-01 00.05", "2024-03-01x00:05", "2024-03-01T", "2024-W09-5"],
)  # fmt: skip
def test_what_is_no_time_fits_nothing_alone_and_in_a_column(text, tmp_path):
    assert parse_time(text, "ISO8601") is None
    with pytest.raises(DataError, match="is not a time"):
        parse_times(pd.Series([text], name="when"), tmp_path)


PAIR = Schema("pair", tuple(Channel(n, "m", "level", -9e9, 9e9) for n in ("a", "b")), 60.0)
DIALECTS = (CsvDialect(), EXPORT, CsvDialect(missing=("No Data",), states={"ON": 1.0, "true": 5}))
TIMES = ("ISO8601", "%d/%m/%Y %H:%M", "%d.%m.%y %H:%M:%S", "%m/%d/%Y %I:%M %p")
numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(-1e6, 1e6).map(repr),
    st.floats(-1e6, 1e6).map(lambda x: repr(x).replace(".", ",")),
    st.integers(1000, 10**9).map(lambda x: f"{x:,}"),
    st.integers(1000, 10**9).map(lambda x: f"{x:,}".replace(",", ".") + ",5"),
    st.sampled_from(["1e5", "007", " 5 ", "-0", "inf", "NAN", "1E-3", "-999", "-999.0", "-999,0"]),
)
words = st.sampled_from(
    [*sorted(MISSING), "Bad Input", "bad input", "No Data", "-", "ON", "off", "OFF ", "True",
     "FALSE", "true", "open", "#REF!", "1.2.3", "12:30"]
)  # fmt: skip
forms = st.sampled_from(
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y/%m/%d %H:%M", "%Y.%m.%d %H:%M:%S",
     "%Y%m%d", "%Y%m%dT%H%M", "%Y-%m-%dt%H:%M:%S,%f0", "%Y-%m-%d %H:%M:%S+01:30",
     "%d/%m/%Y %H:%M", "%d.%m.%y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%d/%m/%Y", "%H:%M"]
)  # fmt: skip
moments = st.datetimes(pd.Timestamp("1970-01-01"), pd.Timestamp("2200-01-01"))


@given(
    st.sampled_from(DIALECTS),
    st.lists(st.tuples(numbers | words, numbers | words), min_size=1, max_size=5),
)
def test_a_column_and_its_cells_agree_on_every_number(tmp_path_factory, dialect, rows):
    """Both read the same number, both find it missing, or both refuse it."""
    site = SiteSchema(PAIR, csv=dialect)
    lines = [
        dialect.separator.join([f"2024-03-01 00:{i:02}", *(f'"{cell}"' for cell in row)])
        for i, row in enumerate([*rows, ("1", "2")])
    ]
    agree(tmp_path_factory, site, lines)


@given(st.sampled_from(TIMES), st.lists(st.tuples(moments, forms), min_size=1, max_size=4))
def test_a_column_and_its_cells_agree_on_every_time(tmp_path_factory, form, times):
    site = SiteSchema(PAIR, time_formats=(form, "ISO8601"))
    agree(tmp_path_factory, site, [f'"{when.strftime(how)}",1,2' for when, how in times])


def agree(tmp_path_factory, site: SiteSchema, lines: list[str]) -> None:
    """Hold what training reads from a file against what a gateway reads line by line."""
    header = ["time", "a", "b"]
    path: Path = tmp_path_factory.getbasetemp() / "agree.csv"
    path.write_text("\n".join([site.csv.separator.join(header), *lines]) + "\n")
    reader = RowReader(site, header, "agree.csv", ())
    alone = [reader.read(split_line(line, site.csv.separator)) for line in lines]
    try:
        raw = read_raw(path, site, "agree")
    except DataError as error:
        row = int(str(error).split("data row ")[1].split(",")[0])
        assert isinstance(alone[row - 1], str) or alone[row - 1].bad
        return
    assert [row.time for row in alone] == raw.time.astype(np.int64).tolist()
    np.testing.assert_array_equal([row.readings for row in alone], raw.values.to_numpy())
    assert not any(row.bad for row in alone)
