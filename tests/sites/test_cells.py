"""A cell means the same alone, at a gateway, as in the column that training reads."""

import math

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.sites.cells import MISSING, fitting_format, parse_number, parse_time
from dtfl_app.sites.readers import parse_numbers, parse_times, read_table

FORMATS = ("%d/%m/%y %H", "ISO8601")


def column(tmp_path, cell):
    """The numbers of a column with this cell between 1 and 2."""
    path = tmp_path / "site.csv"
    path.write_text(f'row,level\n0,1\n1,"{cell}"\n2,2\n')
    return parse_numbers(read_table(path), ["level"], path)["level"]


@pytest.mark.parametrize("word", sorted(MISSING))
def test_a_word_for_no_reading_is_one_in_a_column_too(word, tmp_path):
    np.testing.assert_array_equal(column(tmp_path, word), [1.0, np.nan, 2.0])


@pytest.mark.parametrize("cell", ["7", "-1.5", "+4", "2e3", ".5", "3."])
def test_a_number_is_the_one_that_a_column_holds(cell, tmp_path):
    assert parse_number(cell, ".") == column(tmp_path, cell)[1]


@pytest.mark.parametrize("cell", ["bad", "1_000", "1.2.3", "0x10", "--", "NONE", "nothing"])
def test_what_is_neither_is_missing_alone_and_refused_in_a_column(cell, tmp_path):
    assert math.isnan(parse_number(cell, "."))
    assert cell not in MISSING
    with pytest.raises(DataError, match="is not a number"):
        column(tmp_path, cell)


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
