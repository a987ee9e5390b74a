"""A site's own file: what is read, what is mended and what is refused, row by row."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.own_files import load_own_file, read_own_file
from dtfl_app.sites.site_schema import CsvDialect, LabelColumn
from dtfl_app.sites.stretches import GapFilling
from tests.support.station import station_frame, station_schema


@pytest.fixture
def site(tmp_path):
    return station_schema(tmp_path)


@pytest.fixture
def write(tmp_path):
    """Write a frame as the file of the site "north" and return its path."""

    def written(frame: pd.DataFrame, ending: str = ".csv"):
        path = tmp_path / f"north{ending}"
        if ending == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return path

    return written


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_columns_are_renamed_times_and_labels_read(site, write, ending):
    frame = station_frame(0, rows=10, surge=slice(4, 6))

    series, quality = load_own_file(write(frame, ending), site)

    site.schema.validate(series, "here")
    assert series["level"].tolist() == frame["Tank 1 [m]"].tolist()
    assert series["time"].iloc[0] == pd.Timestamp("2024-01-30 20:00")  # not the 1st of month 30
    assert series["label"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert series["event"].tolist() == [""] * 4 + ["flagged-1"] * 2 + [""] * 4
    assert set(series["instance"]) == {"north"}
    assert (quality.site, quality.rows, quality.repeated) == ("north", 10, 0)


def test_semicolons_and_decimal_commas_are_read_where_the_schema_says_so(site, write, tmp_path):
    frame = station_frame(0, rows=10)
    frame.to_csv(tmp_path / "north.csv", index=False, sep=";", decimal=",")

    series, _ = load_own_file(tmp_path / "north.csv", replace(site, csv=CsvDialect(";", ",")))

    assert series["flow"].tolist() == frame["Q"].tolist()


def test_a_time_index_of_parquet_is_a_column(site, write):
    frame = station_frame(0, rows=5)
    frame["when"] = pd.to_datetime(frame["when"], format="%d/%m/%Y %H:%M")

    series, _ = load_own_file(
        write(frame.set_index("when"), ".parquet"), replace(site, time_formats=("ISO8601",))
    )

    assert series["time"].iloc[-1] == pd.Timestamp("2024-01-30 20:04")


def test_a_recordings_column_is_kept_and_else_gaps_cut_stretches(site, write):
    frame = station_frame(0, rows=9).drop(index=4)

    by_gap, _ = load_own_file(write(frame), site)
    named, _ = load_own_file(write(frame.assign(instance=["a"] * 4 + ["b"] * 4)), site)

    assert by_gap["instance"].tolist() == ["north/part-1"] * 4 + ["north/part-2"] * 4
    assert named["instance"].tolist() == ["a"] * 4 + ["b"] * 4


def test_an_event_of_one_of_several_recordings_carries_its_name(site, write):
    """Ten rows, those 4 to 7 flagged, 0 to 5 in recording a: one run of rows, two events."""
    frame = station_frame(0, rows=10, surge=slice(4, 8))
    recordings = ["a"] * 6 + ["b"] * 4

    one, _ = load_own_file(write(frame.assign(instance="a")), site)
    two, _ = load_own_file(write(frame.assign(instance=recordings)), site)

    assert one["event"].tolist() == [""] * 4 + ["flagged-1"] * 4 + [""] * 2
    assert two["event"].tolist() == (
        [""] * 4 + ["a flagged-1"] * 2 + ["b flagged-1"] * 2 + [""] * 2
    )


def test_bad_readings_are_set_to_missing_and_a_pump_at_rest_is_kept(site, write):
    """700 rows: a dead level, one impossible flow, a pump that never runs."""
    frame = station_frame(0, rows=700).assign(**{"Tank 1 [m]": 3.0})
    frame.loc[17, "Q"] = 999.0

    series, quality = load_own_file(write(frame), site)

    assert series["level"].isna().all()
    assert np.flatnonzero(series["flow"].isna()).tolist() == [17]
    assert (series["pump"] == 0.0).all()
    removed = [channel.removed for channel in quality.channels]
    assert removed == [1.0, 1 / 700, 0.0]


def test_rows_that_repeat_an_earlier_one_are_left_out_and_counted(site, write):
    """Two exports that overlap by three rows: rows 8 to 10 of the file are rows 5 to 7 again."""
    frame = station_frame(0, rows=10)
    joined = pd.concat([frame.iloc[:7], frame.iloc[4:]])

    found = read_own_file(write(joined), site)
    _, quality = load_own_file(write(joined), site)

    assert found.repeated.tolist() == [8, 9, 10]
    assert found.rows.tolist() == [1, 2, 3, 4, 5, 6, 7, 11, 12, 13]
    assert found.series["level"].tolist() == frame["Tank 1 [m]"].tolist()
    assert quality.repeated == 3


def test_two_rows_of_one_time_that_differ_are_refused(site, write):
    frame = station_frame(0, rows=10)
    frame.loc[6, "when"] = frame.loc[5, "when"]

    with pytest.raises(DataError, match=r"north\.csv: data row 7, column 'when': time repeats "):
        load_own_file(write(frame), site)


def test_a_clock_that_jumps_back_is_refused_with_its_row(site, write):
    """Minute 49 is followed by minute 30: 19 minutes."""
    frame = station_frame(0, rows=100)
    frame.loc[50:, "when"] = frame["when"].iloc[30:80].to_numpy()

    with pytest.raises(DataError, match=r"data row 51.*time goes back by 1140 s") as caught:
        load_own_file(write(frame), site)
    assert "remove the rows" in str(caught.value)


def test_an_hour_back_is_told_to_be_daylight_saving_time(site, write):
    """02:59 is followed by 02:00: 59 minutes back instead of one on."""
    frame = station_frame(0, rows=300)
    when = pd.date_range("2024-10-27 00:00", periods=180, freq="min")
    again = pd.date_range("2024-10-27 02:00", periods=120, freq="min")
    frame["when"] = [*when.strftime("%d/%m/%Y %H:%M"), *again.strftime("%d/%m/%Y %H:%M")]

    with pytest.raises(DataError, match=r"data row 181.*daylight saving time.*UTC"):
        load_own_file(write(frame), site)


def test_times_with_their_zone_go_through_the_night_of_the_change(site, write):
    zoned = pd.date_range("2024-10-27 00:00", periods=300, freq="min", tz="Europe/Paris")
    frame = station_frame(0, rows=300).assign(when=[t.isoformat() for t in zoned])

    series, _ = load_own_file(write(frame), replace(site, time_formats=("ISO8601",)))

    assert set(series["instance"]) == {"north"}
    assert series["time"].iloc[0] == pd.Timestamp("2024-10-26 22:00")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_file_with_its_newest_row_first_is_turned_round(site, write, ending):
    """Its rows keep their numbers; flagged runs and recordings are those of the turned file."""
    frame = station_frame(0, rows=20, surge=slice(4, 6)).assign(instance=["a"] * 9 + ["b"] * 11)
    frame.loc[15, "flag"] = 1
    upright = read_own_file(write(frame, ending), site)

    found = read_own_file(write(frame[::-1], ending), replace(site, newest_first=True))

    pd.testing.assert_frame_equal(found.series, upright.series)
    assert found.rows.tolist() == list(range(20, 0, -1))
    assert upright.series["event"].unique().tolist() == ["", "a flagged-1", "b flagged-1"]


def test_the_wrong_order_is_refused_with_its_key(site, write):
    frame = station_frame(0, rows=20)

    with pytest.raises(DataError, match=r'sort the rows .*order = "newest-first"'):
        load_own_file(write(frame[::-1]), site)
    with pytest.raises(DataError, match=r'data row 19, .*says order = "newest-first"; leave that'):
        load_own_file(write(frame), replace(site, newest_first=True))


def test_another_sampling_period_than_the_schemas_is_refused(site, write):
    hourly = replace(site, schema=replace(site.schema, period_s=3600.0))

    with pytest.raises(SchemaError, match=r"every 60 s \(median\), .* period-s = 3600"):
        load_own_file(write(station_frame(0, rows=20)), hourly)


def test_a_file_without_the_label_column_is_unlabelled(site, write):
    series, _ = load_own_file(write(station_frame(0, rows=5).drop(columns="flag")), site)

    assert set(series["label"]) == {-1}


def test_an_unknown_label_is_refused_with_row_and_value(site, write):
    frame = station_frame(0, rows=5)
    frame.loc[3, "flag"] = 7

    with pytest.raises(DataError, match=r"data row 4, column 'flag': 7 is no label .*1 such rows"):
        load_own_file(write(frame), site)


def test_listed_label_values_and_empty_cells_are_read(site, write):
    """3W's way: 102 is the way into event 2; BATADAL's: -999 is unknown."""
    labels = LabelColumn("flag", normal=(0.0,), abnormal=(2.0, 102.0), unlabelled=(-999.0,))
    frame = station_frame(0, rows=5).assign(flag=[0, 102, 2, -999, np.nan])

    series, _ = load_own_file(write(frame), replace(site, labels=labels))

    assert series["label"].tolist() == [0, 1, 1, -1, -1]


def test_a_cell_that_is_no_number_is_refused_by_the_files_own_column(site, write):
    frame = station_frame(0, rows=5).astype({"Q": object})
    frame.loc[2, "Q"] = "bad"

    with pytest.raises(DataError, match=r"data row 3, column 'Q': 'bad' is not a number"):
        load_own_file(write(frame), site)


def test_a_missing_column_is_refused_by_the_files_own_name(site, write):
    with pytest.raises(SchemaError, match=r"columns \['Tank 1 \[m\]'\] are missing"):
        load_own_file(write(station_frame(0, rows=5).drop(columns="Tank 1 [m]")), site)


def test_a_file_without_any_reading_is_refused(site, write):
    empty = station_frame(0, rows=5).assign(**{"Tank 1 [m]": np.nan, "Q": np.nan, "P1": np.nan})

    with pytest.raises(DataError, match="every reading of every channel is empty"):
        load_own_file(write(empty), site)


def test_short_gaps_are_filled_with_the_label_and_event_of_the_row_before(site, write):
    """Data rows 3 and 6 come a minute late, so rows 3 and 7 of the series are made up."""
    frame = station_frame(0, rows=8, surge=slice(2, 6)).drop(index=[2, 6]).reset_index(drop=True)
    gaps = GapFilling(120.0, "hold")

    found = read_own_file(write(frame), replace(site, gaps=gaps))

    series = found.series
    assert found.filled.tolist() == [False, False, True, False, False, False, True, False]
    assert found.rows.tolist() == [1, 2, 2, 3, 4, 5, 5, 6]
    assert series["label"].tolist() == [0, 0, 0, 1, 1, 1, 1, 0]
    assert series["event"].tolist() == ["", "", "", *["flagged-1"] * 4, ""]
    assert series["level"].tolist() == frame["Tank 1 [m]"].iloc[found.rows - 1].tolist()
    assert series["time"].diff().dropna().unique().tolist() == [pd.Timedelta(minutes=1)]
    assert set(series["instance"]) == {"north"}
    site.schema.validate(series, "here")
    assert load_own_file(write(frame), replace(site, gaps=gaps))[1].filled == 2


def test_time_between_two_recordings_is_not_filled(site, write):
    frame = station_frame(0, rows=8).drop(index=[3]).assign(instance=["a"] * 3 + ["b"] * 4)

    found = read_own_file(write(frame), replace(site, gaps=GapFilling(600.0)))

    assert not found.filled.any()


def test_a_gap_in_a_named_recording_begins_a_stretch_as_where_none_is_named(site, write):
    """Minutes 2 and 6 are missing, both of recording a."""
    frame = station_frame(0, rows=10).drop(index=[2, 6]).assign(instance=["a"] * 5 + ["b"] * 3)
    frame.loc[7, "instance"] = "a"

    series = read_own_file(write(frame), site).series

    assert series["instance"].tolist() == [
        *["a/part-1"] * 2, *["a/part-2"] * 3, "a/part-3", "b", "b",
    ]  # fmt: skip
