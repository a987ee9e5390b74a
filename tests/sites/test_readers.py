from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.cells import CellGrammar
from dtfl_app.sites.columns import parse_times, read_numbers
from dtfl_app.sites.csv_table import UNNAMED
from dtfl_app.sites.readers import read_chunks, read_series, read_table
from twin.schema import Schema

HEADER = "time,level,flow\n"


def write(tmp_path: Path, text: str, name: str = "site.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_labelled_series_survives_writing_and_reading(tmp_path, series_of, schema, form):
    series = series_of([5, 4], events=["", "", "leak", "leak", "", "", "", "", ""])
    path = tmp_path / f"site.{form}"
    series.to_csv(path, index=False) if form == "csv" else series.to_parquet(path)

    read = read_series(path, schema)

    pd.testing.assert_frame_equal(read, series)


def test_without_optional_columns_rows_are_unlabelled_and_gaps_cut_instances(tmp_path, schema):
    """Minutes 0, 1 and 5, 6: the step of 4 min is above 1.5 periods of 1 min, so two stretches."""
    times = [f"2024-01-01 00:0{minute}" for minute in (0, 1, 5, 6)]
    path = write(tmp_path, HEADER + "".join(f"{t},1,2\n" for t in times))

    read = read_series(path, schema)

    assert read["instance"].tolist() == ["site/part-1"] * 2 + ["site/part-2"] * 2
    assert read["label"].tolist() == [-1] * 4
    assert read["event"].tolist() == [""] * 4
    assert list(read.columns) == schema.columns


def test_other_columns_and_spaces_in_names_and_values_are_accepted(tmp_path, schema):
    path = write(tmp_path, " flow , extra, level , time\n 2, x, 1, 2024-01-01\n")

    read = read_series(path, schema)

    assert read[["level", "flow"]].to_numpy().tolist() == [[1.0, 2.0]]


def test_a_row_without_readings_is_kept_as_a_loss_of_communication(tmp_path, schema):
    path = write(tmp_path, HEADER + "2024-01-01 00:00,1,2\n2024-01-01 00:01,,\n")

    read = read_series(path, schema)

    assert np.isnan(read["level"].iloc[1])


def test_a_stated_time_zone_becomes_utc(tmp_path):
    column = pd.Series(["2024-01-01T02:00+02:00", "2024-01-01T01:00Z"], name="time")

    times = parse_times(column, tmp_path)

    assert (
        times.tolist()
        == pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00"])
        .as_unit("ns")
        .to_numpy()
        .tolist()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"site\.csv: the file is empty"),
        (HEADER, r"site\.csv: the file holds no rows"),
        ("time,level\n2024-01-01,1\n", r"columns \['flow'\] are missing"),
        (HEADER + "2024-01-01,1,2\n2024-01-02,1,2x\n", r"data row 2, column 'flow': '2x' is not"),
        (HEADER + "2024-01-01,1,2\n,,\n", r"data row 2, column 'time': .* is not a time"),
        (HEADER + "01/02/2024,1,2\n", r"data row 1, column 'time': '01/02/2024' is not a time"),
        (HEADER + "1704067200,1,2\n", r"data row 1, column 'time': .*1704067200.* is not a time"),
        (HEADER + "2024-01-01,,\n2024-01-02,,\n", r"every reading of every channel is empty"),
        (HEADER + "2024-01-01,1,2,3\n", r"data row 1: it has 4 cells, the header 3"),
        (HEADER + "2024-01-01,1,2\n\n2024-01-02,1,2,3\n", r"data row 2: it has 4 cells, the"),
        (HEADER + "2024-01-01,1,2\n2024-01-02,1\n", r"data row 2: it has 2 cells, the header 3"),
        (HEADER + '2024-01-01,1,"2\n"\n2024-01-02,1,2\n', r"data row 2: it has 1 cells"),
        (HEADER + "2024-01-01,1,2\n2024-01-02,\0\0,2\n", r"data row 2: it holds 2 NUL bytes"),
        (HEADER + "2024-01-01,1," + "2" * 200_000, r"data row 1: it cannot be cut into cells"),
        (HEADER + "2024-01-01,1," + "2" * 2**20, r"data row 1: it does not end within 1048576"),
        ("time,level,flow,level\n2024-01-01,1,2,3\n", r"columns 2 and 4 are both called 'level'"),
        ("time,level,flow,label\n2024-01-01,1,2,256\n", r"column 'label': 256 is no label"),
    ],
)
def test_bad_files_are_refused_naming_file_row_and_column(
    tmp_path: Path, schema: Schema, text: str, message: str
):
    path = write(tmp_path, text)

    with pytest.raises(DataError, match=message) as caught:
        read_series(path, schema)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("times", ["", "2024-01-01,"])
@pytest.mark.parametrize("ends", [",", ",,", ", ,"])
def test_separators_at_the_ends_of_rows_move_no_column(tmp_path, schema, ends, times):
    """Without a name in the header, with one time column or two; blank cells have no name."""
    header = ("day," if times else "") + HEADER
    rows = [f"{times}2024-01-01 00:0{minute},{minute},7{ends}\n" for minute in (0, 1, 2)]
    path = write(tmp_path, header + "".join(rows))

    assert read_series(path, schema)[["level", "flow"]].to_numpy().tolist() == [
        [0.0, 7.0],
        [1.0, 7.0],
        [2.0, 7.0],
    ]
    unnamed = [name for name in read_table(path).columns if name.startswith(UNNAMED)]
    assert len(unnamed) == ends.count(",")


def test_a_column_without_a_name_may_end_early(tmp_path, schema):
    path = write(tmp_path, "time,level,flow,\n2024-01-01,1,2\n2024-01-02,3,4,note\n")

    assert read_series(path, schema)["flow"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_chunks_are_the_table(tmp_path, monkeypatch, form):
    """Of some ten rows each: numbers, texts, states, words among numbers, and cells left empty."""
    count = 500
    words = {"code": ["01", "x"], "state": ["True", "OFF"], "value": ["1.10", "Bad"], "none": ["a"]}
    columns = {"number": [repr(0.1 + i) for i in range(count)], "whole": ["7"] * count}
    columns |= {name: [found[0]] * count for name, found in words.items()}
    columns["none"] = [""] * count
    for name, found in words.items():
        columns[name][-1] = found[-1]
    whole = pd.DataFrame(columns)
    if form == "csv":
        whole.to_csv(tmp_path / "site.csv", index=False)
        whole = read_table(tmp_path / "site.csv")
        monkeypatch.setattr("dtfl_app.sites.csv_table._BLOCK", 400)
    else:
        monkeypatch.setattr("dtfl_app.sites.readers._BATCH", 10)
        whole["number"] = whole["number"].astype(float)
        whole.to_parquet(tmp_path / "site.parquet")

    chunks = list(read_chunks(tmp_path / f"site.{form}"))

    assert len(chunks) > 20
    pd.testing.assert_frame_equal(read_table(tmp_path / f"site.{form}"), whole)
    for name in whole:
        together = np.concatenate([read_numbers(chunk[name], CellGrammar())[0] for chunk in chunks])
        np.testing.assert_array_equal(together, read_numbers(whole[name], CellGrammar())[0])
    assert "".join(chunks[0]["number"].map(repr)) == "".join(
        whole["number"][: len(chunks[0])].map(repr)
    )


def test_rows_without_any_are_one_chunk_with_its_columns(tmp_path):
    path = write(tmp_path, HEADER)

    assert [list(chunk.columns) for chunk in read_chunks(path)] == [["time", "level", "flow"]]


def test_another_encoding_is_refused_with_the_key_that_helps(tmp_path, schema):
    path = tmp_path / "site.csv"
    path.write_bytes((HEADER + "2024-01-01,1,2\n").encode() + "#°\n".encode("cp1252"))

    with pytest.raises(DataError, match=r'not in utf-8 .* encoding = "cp1252"'):
        read_series(path, schema)


def test_lines_before_the_header_are_refused_with_the_key_that_helps(tmp_path, schema):
    path = write(tmp_path, "exported\n" + HEADER + "2024-01-01,1,2\n")

    with pytest.raises(DataError, match="the site schema says how many: header-row"):
        read_series(path, schema)


def test_readings_in_a_wrong_unit_are_refused(tmp_path, schema):
    path = write(tmp_path, HEADER + "2024-01-01,250,2\n")

    with pytest.raises(SchemaError, match=r"'level': 250 is outside \[0, 10\] m"):
        read_series(path, schema)


def test_a_missing_file_an_unknown_format_and_a_damaged_file_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"notes\.txt: cannot tell the format"):
        read_table(write(tmp_path, "x", "notes.txt"))
    with pytest.raises(DataError, match=r"site\.parquet: damaged, or not a \.parquet file"):
        read_table(write(tmp_path, "x", "site.parquet"))


def test_a_parquet_file_that_unpacks_to_more_than_the_memory_is_refused_by_its_footer(
    tmp_path, monkeypatch
):
    """A million equal rows of five columns are 40 MB and a few kilobytes of file."""
    path = tmp_path / "bomb.parquet"
    pd.DataFrame(dict.fromkeys("abcde", 0.0), index=range(10**6)).to_parquet(path, index=False)
    assert path.stat().st_size < 10**6 and len(read_table(path)) == 10**6
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr("dtfl_app.sites.readers.os.sysconf", pages.__getitem__)

    with pytest.raises(DataError, match=r"1000000 rows of 5 columns, 40000000 bytes .*4096000"):
        read_table(path)
