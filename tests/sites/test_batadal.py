from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.batadal import ATTACKS, DATASET03, DATASET04, SCADA, read_batadal


@pytest.fixture(scope="module")
def dataset04(data_dir: Path) -> pd.DataFrame:
    return read_batadal(data_dir / "batadal" / DATASET04)


@pytest.fixture(scope="module")
def head(data_dir: Path) -> pd.DataFrame:
    """First 48 hours of dataset04 as text, the raw material of every other format."""
    frame = pd.read_csv(data_dir / "batadal" / DATASET04, nrows=48, skipinitialspace=True)
    frame.columns = frame.columns.str.strip()
    return frame


def test_channels_are_the_43_columns_of_the_files_in_their_order(head):
    assert SCADA.names == list(head.columns[1:-1])
    assert len(SCADA.names) == 43


def test_dataset03_is_a_year_without_attack(data_dir):
    series = read_batadal(data_dir / "batadal" / DATASET03)

    assert len(series) == 8761
    assert (series["label"] == 0).all()
    assert (series["event"] == "").all()
    assert series["instance"].unique().tolist() == ["BATADAL_dataset03"]
    assert series["time"].iloc[[0, -1]].tolist() == [
        pd.Timestamp("2014-01-06 00:00"),
        pd.Timestamp("2015-01-06 00:00"),
    ]
    SCADA.validate(series, "dataset03")


def test_dataset04_has_seven_attacks_of_492_hours_and_nothing_unlabelled(dataset04):
    assert len(dataset04) == 4177
    assert int((dataset04["label"] == 1).sum()) == 492
    assert int((dataset04["label"] == 0).sum()) == 4177 - 492
    events = dataset04.loc[dataset04["label"] == 1, "event"].unique().tolist()
    assert events == [f"attack-{number}" for number in range(1, 8)]


def test_the_attack_table_is_the_official_one(data_dir):
    official = pd.read_csv(data_dir / "batadal" / "attacks.csv")

    assert [a.number for a in ATTACKS] == official["attack"].tolist()
    assert [a.start for a in ATTACKS] == pd.to_datetime(official["start"]).tolist()
    assert [a.end for a in ATTACKS] == pd.to_datetime(official["end"]).tolist()
    assert [a.target for a in ATTACKS] == official["target"].tolist()
    assert sum((a.end - a.start) / pd.Timedelta("1h") + 1 for a in ATTACKS[7:]) == 407


@pytest.mark.parametrize("time_format", ["%d/%m/%y %H", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"])
@pytest.mark.parametrize("index_column", [False, True])
@pytest.mark.parametrize("pad", ["", " "])
def test_the_test_file_is_read_in_every_format(tmp_path, head, time_format, index_column, pad):
    """48 hours from 2017-01-16 00:00: attack 8 starts at 09:00, so 9 normal and 39 attack rows."""
    times = pd.date_range("2017-01-16", periods=48, freq="h")
    frame = head.drop(columns="ATT_FLAG").assign(DATETIME=times.strftime(time_format))
    rows = [["", *frame.columns], *([i, *row] for i, row in enumerate(frame.to_numpy()))]
    first = 0 if index_column else 1
    path = tmp_path / "BATADAL_test_dataset.csv"
    path.write_text("\n".join(f",{pad}".join(map(str, row[first:])) for row in rows))

    series = read_batadal(path)

    assert series["time"].tolist() == times.tolist()
    assert series["label"].tolist() == [0] * 9 + [1] * 39
    assert set(series["event"][9:]) == {"attack-8"}
    np.testing.assert_array_equal(series[SCADA.names], head[SCADA.names])


def test_every_attack_of_the_test_file_is_labelled_to_the_hour(tmp_path, head):
    """2017-01-04 00:00 to 2017-04-01 00:00 are 2,089 hours, 407 of them in attacks 8 to 14."""
    times = pd.date_range("2017-01-04", "2017-04-01", freq="h")
    row = head.drop(columns="ATT_FLAG").iloc[[0] * len(times)].assign(DATETIME=times)
    path = tmp_path / "BATADAL_test_dataset.csv"
    row.to_csv(path, index=False)

    series = read_batadal(path)

    assert len(series) == 2089
    assert int((series["label"] == 1).sum()) == 407
    assert series.loc[series["label"] == 1, "event"].nunique() == 7


def test_outside_the_official_periods_the_flag_of_the_file_counts(tmp_path, head):
    times = pd.date_range("2020-01-01", periods=6, freq="h")
    frame = head.head(6).assign(DATETIME=times, ATT_FLAG=[0, 1, 1, -999, 1, 0])
    path = tmp_path / "own.csv"
    frame.to_csv(path, index=False)

    series = read_batadal(path)

    assert series["label"].tolist() == [0, 1, 1, -1, 1, 0]
    assert series["event"].tolist() == ["", "flagged-1", "flagged-1", "", "flagged-2", ""]


def test_flags_in_words_are_ignored_where_the_table_decides_and_that_is_said_once(
    tmp_path, data_dir, dataset04, caplog
):
    """A copy whose flags are "benign" and "attack1" to "attack7", as one that is passed around."""
    copy = pd.read_csv(data_dir / "batadal" / DATASET04, skipinitialspace=True)
    words = dataset04["event"].str.replace("-", "").replace("", "benign").tolist()
    path = tmp_path / "copy.csv"
    copy.assign(**{copy.columns[-1]: words}).to_csv(path, index=False)

    with caplog.at_level("INFO"):
        first, second = read_batadal(path), read_batadal(path)

    columns = ["time", *SCADA.names, "label", "event"]
    pd.testing.assert_frame_equal(first[columns], dataset04[columns])
    pd.testing.assert_frame_equal(first, second)
    (line,) = (line for line in caplog.messages if "is ignored" in line)
    assert "copy.csv: column ATT_FLAG is ignored" in line and "'benign'" in line


def test_the_official_files_say_nothing_of_their_flags(data_dir, caplog):
    with caplog.at_level("INFO"):
        read_batadal(data_dir / "batadal" / DATASET04)

    assert caplog.messages == []


def test_words_of_flags_count_outside_the_official_periods(tmp_path, head):
    times = pd.date_range("2020-01-01", periods=4, freq="h")
    flags = ["Benign", "A ttack", "attack8", None]
    path = tmp_path / "own.csv"
    head.head(4).assign(DATETIME=times, ATT_FLAG=flags).to_csv(path, index=False)

    assert read_batadal(path)["label"].tolist() == [0, 1, 1, -1]


def test_outside_the_official_periods_a_file_without_flag_is_unlabelled(tmp_path, head):
    times = pd.date_range("2020-01-01", periods=48, freq="h")
    path = tmp_path / "own.csv"
    head.drop(columns="ATT_FLAG").assign(DATETIME=times).to_csv(path, index=False)

    assert read_batadal(path)["label"].unique().tolist() == [-1]


def test_an_interruption_starts_a_new_instance(tmp_path, head):
    path = tmp_path / "cut.csv"
    head.drop(index=range(10, 20)).to_csv(path, index=False)

    assert read_batadal(path)["instance"].unique().tolist() == ["cut/part-1", "cut/part-2"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f.drop(columns="L_T3"), SchemaError, r"columns \['L_T3'\] are missing"),
        (lambda f: f.assign(L_T1=f["L_T1"] * 100), SchemaError, r"'L_T1': .* outside .* m"),
        (lambda f: f.assign(P_J269=f["P_J269"] * 9.81), SchemaError, r"'P_J269': .* outside"),
        (lambda f: f.assign(F_PU1=f["F_PU1"] * 3.6), SchemaError, r"'F_PU1': .* L/s"),
        (lambda f: f.assign(S_V2=["?", *f["S_V2"][1:]]), DataError, r"data row 1, column 'S_V2'"),
        (
            lambda f: f.assign(ATT_FLAG=7, DATETIME=pd.date_range("2020", periods=48, freq="h")),
            DataError,
            r"data row 1, column 'ATT_FLAG': 7 is no known flag",
        ),
        (lambda f: f.assign(DATETIME="soon"), DataError, r"column 'DATETIME': 'soon' is not a"),
        (lambda f: f.iloc[[0, 0]], SchemaError, r"time goes back or repeats"),
        (
            lambda f: f.assign(**{c: f[c].where(f.index != 4) for c in SCADA.names}),
            DataError,
            r"data row 5: every channel is empty",
        ),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_naming_the_place(
    tmp_path, head, change, error, message
):
    path = tmp_path / "bad.csv"
    change(head).to_csv(path, index=False)

    with pytest.raises(error, match=message) as caught:
        read_batadal(path)

    assert "bad.csv" in str(caught.value)
