"""Names from outside in the table of alarms: no formula for a spreadsheet, the same when read."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtfl_app.results.alarm_table import alarm_csv, without_marks

CALL = '=HYPERLINK("http://example.org","leak")'


def table(name: str) -> pd.DataFrame:
    texts = {column: [name, "plain"] for column in ("instance", "event", "channel")}
    return pd.DataFrame({**texts, "score": [-1.5, 2.0], "alarm": [False, True]})


@pytest.mark.parametrize("name", [CALL, "+1", "-2+3", "@SUM(A1)", "\tx", "'=1"])
def test_no_cell_begins_like_a_formula_and_numbers_stay_numbers(tmp_path, name):
    (tmp_path / "a.csv").write_bytes(alarm_csv(table(name)))

    raw = pd.read_csv(tmp_path / "a.csv")

    assert raw["instance"].str.startswith("'").tolist() == [True, False]
    assert raw["score"].tolist() == [-1.5, 2.0]
    assert without_marks(pd.read_csv(tmp_path / "a.csv"))["event"].tolist() == [name, "plain"]


@given(st.text("=+-@'ab c,\"", min_size=1, max_size=6).filter(lambda text: text == text.strip()))
def test_any_name_reads_back(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("alarms") / "a.csv"
    path.write_bytes(alarm_csv(table(name)))

    assert without_marks(pd.read_csv(path, dtype={"event": "str"}))["event"].tolist() == [
        name,
        "plain",
    ]


def test_a_file_of_before_cells_were_marked_reads_as_it_is(tmp_path):
    table("o'clock").to_csv(tmp_path / "a.csv", index=False)

    assert without_marks(pd.read_csv(tmp_path / "a.csv"))["event"].tolist() == ["o'clock", "plain"]
