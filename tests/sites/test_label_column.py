"""Labels in a column: numbers and words, as the schema lists them."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.cells import CellGrammar
from dtfl_app.sites.label_column import LabelColumn, LabelReader
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_schema import read_site_schema
from tests.support.station import STATION, station_frame, station_schema

WORDS = """column = "flag"
normal = [0, "Normal"]
abnormal = [1, "attack*"]
unlabelled = ["?", -999]
"""
IN_WORDS = STATION.replace('column = "flag"\n', WORDS)


def written(folder, labels, ending=".csv"):
    frame = station_frame(0, rows=len(labels)).assign(flag=labels)
    path = folder / f"north{ending}"
    if ending == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_words_are_labels_whatever_their_letters_and_spaces(tmp_path, ending):
    """ "A ttack" and "Normal " are typing errors that public files have."""
    site = station_schema(tmp_path, IN_WORDS)
    cells = ["Normal", "NORMAL ", "A ttack", "attack8", "Attack", "?", None, "0", "1", "-999"]

    series, _ = load_own_file(written(tmp_path, cells, ending), site)

    assert series["label"].tolist() == [0, 0, 1, 1, 1, -1, -1, 0, 1, -1]
    assert series["event"].tolist() == ["", "", *["flagged-1"] * 3, "", "", "", "flagged-2", ""]


def test_words_and_numbers_are_written_as_they_are_read(tmp_path):
    site = station_schema(tmp_path, IN_WORDS)
    (tmp_path / "kept.toml").write_text(site.to_toml())

    assert site.labels == LabelColumn("flag", (0.0, "Normal"), (1.0, "attack*"), ("?", -999.0))
    assert read_site_schema(tmp_path / "kept.toml") == site


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_word_in_no_list_is_refused_with_its_row_and_the_way_to_list_it(tmp_path, ending):
    site = station_schema(tmp_path, IN_WORDS)
    path = written(tmp_path, ["Normal", "leak", "leak"], ending)
    message = r"data row 2, column 'flag': 'leak' is no label \(2 such rows\).*under \[labels\]"

    with pytest.raises(DataError, match=message):
        load_own_file(path, site)


@pytest.mark.parametrize(
    ("cell", "label"),
    [("None", 0), ("", 0), ("none", 0), ("2", 1), (2.0, 1), (np.int64(2), 1), ("7", None)],
)
def test_an_empty_cell_means_what_a_word_for_it_is_listed_as(cell, label):
    labels = LabelColumn("flag", ("None",), (2.0,), ())

    assert LabelReader(labels, CellGrammar()).read(cell) == label


@pytest.mark.parametrize(
    ("cell", "label"), [("attack test", -1), ("attack 3", 1), ("2", 0), ("20", 1), ("x", 1)]
)
def test_a_whole_word_counts_before_one_with_a_star_and_of_these_the_longest(cell, label):
    labels = LabelColumn("flag", (2.0,), ("*", "attack*"), ("attack test*",))

    assert LabelReader(labels, CellGrammar()).read(cell) == label


def test_numbers_of_labels_are_written_as_the_files_other_numbers():
    """And the schema's words for states and for missing readings count among labels too."""
    reader = LabelReader(LabelColumn("flag"), CellGrammar(",", "", ("Bad",), {"OFF": 0, "ON": 1}))

    assert [reader.read(cell) for cell in ("0,0", "1", 1.0, "on", "OFF", "bad", "1.0")] == [
        0, 1, 1, 1, 0, -1, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ('normal = ["ok"]\nabnormal = ["O K"]', r"\['ok'\] stand in two lists"),
        ('normal = ["0"]\nabnormal = [0]', r"\[0\.0\] stand in two lists"),
        ('normal = [""]\nabnormal = ["None"]', "words for an empty cell"),
        (
            "normal = [true]",
            r"normal = \[True\]; expected numbers and words, e\.g\. normal = \[0\]",
        ),
        ('normal = "ok"', r"normal = 'ok'; expected numbers and words"),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(tmp_path, lists, message):
    with pytest.raises(SchemaError, match=message):
        station_schema(tmp_path, STATION.replace('column = "flag"', f'column = "flag"\n{lists}'))


def test_a_flag_beside_a_table_of_events_is_ignored_and_that_is_said(tmp_path, caplog):
    site = station_schema(tmp_path, STATION.replace('column = "flag"', 'events = "events.csv"'))
    table = {"start": "2024-01-30T20:01", "end": "2024-01-30T20:02", "event": ["leak"]}
    pd.DataFrame(table).to_csv(tmp_path / "events.csv", index=False)
    path = written(tmp_path, ["Attack", "Normal", "Normal", "no idea"])

    with caplog.at_level("INFO"):
        first, _ = load_own_file(path, site)
        load_own_file(path, site)

    assert first["label"].tolist() == [0, 1, 1, 0]
    (line,) = caplog.messages
    assert "north.csv: column flag is ignored, as the table of events has the labels" in line
    assert read_raw(path, site, "north").unused == ("flag",)
    found = [one for one in check_file(path, site).findings if one.where in {"labels", "file"}]
    assert [(one.level, one.what) for one in found] == [
        ("note", "columns that look like labels: flag")
    ]
