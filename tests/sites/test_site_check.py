"""What `dtfl site check` finds, by hand-made files with one fault each."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.stretches import GapFilling
from tests.support.station import station_frame, station_schema


@pytest.fixture
def site(tmp_path):
    return station_schema(tmp_path)


@pytest.fixture
def check(site, tmp_path):
    """Write a frame as north.csv and check it."""

    def checked(frame: pd.DataFrame, **changes):
        frame.to_csv(tmp_path / "north.csv", index=False)
        return check_file(tmp_path / "north.csv", replace(site, **changes))

    return checked


def told(found) -> list[tuple[str, str]]:
    return [(finding.level, finding.where) for finding in found.findings]


def test_a_sound_file_has_its_figures_and_no_finding(check):
    """1,200 rows: 240 for calibration; 100 of them in one event."""
    frame = station_frame(0, rows=1200, surge=slice(300, 400))

    found = check(frame)

    assert (found.exit_code, found.findings) == (0, ())
    summary = found.summary
    assert (summary.rows, summary.first, summary.last) == (
        1200, "2024-01-30T20:00:00", "2024-01-31T15:59:00",
    )  # fmt: skip
    assert (summary.period_s, summary.gaps, summary.longest_stretch) == (60.0, 0, 1200)
    assert (summary.normal, summary.abnormal, summary.unlabelled) == (1100, 100, 0)
    assert summary.events == ("flagged-1",)
    level = found.channels[0]
    values = frame["Tank 1 [m]"]
    assert (level.channel, level.column, level.unit) == ("level", "Tank 1 [m]", "m")
    assert (level.low, level.high, level.missing) == (0.0, 12.0, 0.0)
    assert (level.smallest, level.largest) == (values.min(), values.max())
    assert level.median == pytest.approx(values.median())
    assert (found.channels[2].longest_run, found.channels[2].stuck) == (1200, 1200)
    assert json.loads(json.dumps(found.to_dict()))["exit_code"] == 0


def test_gaps_and_repeats_are_counted_and_placed(check):
    """Rows 301 to 360 are gone: 61 minutes from row 300 to the next, as when summer time begins."""
    frame = station_frame(0, rows=1300).drop(index=range(300, 360))
    joined = pd.concat([frame.iloc[:900], frame.iloc[890:]])

    found = check(joined)

    assert told(found) == [("look", "time"), ("look", "time")]
    assert found.exit_code == 1
    repeats, gap = found.findings
    assert repeats.what == "10 rows that repeat an earlier one, first data row 901"
    assert gap.what.startswith("1 gap, the longest 1:01:00 before data row 301 (2024-01-31")
    assert "daylight saving time" in gap.mend
    assert gap.training.endswith("the longest stretch fits, 940 rows or 56400 s")
    assert (found.summary.rows, found.summary.repeated, found.summary.longest_gap_s) == (
        1250, 10, 3660.0,
    )  # fmt: skip


def test_gaps_that_are_filled_are_counted_and_what_is_left_of_them_told(check):
    """Of three gaps, of 2, 3 and 5 minutes, the first two are filled, with 1 and 2 rows."""
    frame = station_frame(0, rows=1300).drop(index=[300, 400, 401, *range(500, 504)])

    found = check(frame, gaps=GapFilling(180.0, "interpolate"))

    assert told(found) == [("note", "time"), ("look", "time")]
    filled, gap = found.findings
    assert filled.what == "2 gaps of up to max-gap-s = 180 s"
    assert filled.training == "fills them with 3 rows (fill = 'interpolate')"
    assert gap.what.startswith("1 gap, the longest 0:05:00 before data row 498")
    summary = found.summary
    assert (summary.rows, summary.gaps, summary.filled_gaps, summary.filled_rows) == (1293, 1, 2, 3)


def test_time_between_two_recordings_is_no_gap(check):
    frame = station_frame(0, rows=1300).drop(index=range(300, 360))
    named = frame.assign(instance=["a"] * 300 + ["b"] * 940)

    assert check(named).summary.gaps == 0
    assert check(frame).summary.gaps == 1


def test_uneven_steps_are_told(check):
    frame = station_frame(0, rows=1200)
    when = pd.to_datetime(frame["when"], format="%d/%m/%Y %H:%M")
    when[500] += pd.Timedelta(seconds=20)
    frame["when"] = when.dt.strftime("%Y-%m-%dT%H:%M:%S")

    found = check(frame, time_formats=("ISO8601",))

    assert [f.what for f in found.findings] == [
        "2 steps of other than 60 s, first before data row 501"
    ]


def test_readings_are_told_as_training_treats_them(check, site, tmp_path):
    """The findings say what `load_own_file` does: dead and impossible readings are gone."""
    frame = station_frame(0, rows=1200).assign(**{"Tank 1 [m]": 3.0})
    frame.loc[99:101, "Q"] = [999.0, np.nan, 999.0]

    found = check(frame)

    series, _ = load_own_file(tmp_path / "north.csv", site)
    assert told(found) == [("look", "level"), ("note", "flow"), ("look", "flow")]
    dead, missing, outside = found.findings
    assert dead.training == "sets them to missing: a dead sensor"
    assert series["level"].isna().all()
    assert missing.what == "0.1% missing, first data row 101"
    assert outside.what == "2 readings outside -10 to 80 L/s, first 999 in data row 100"
    assert outside.training == "sets them to missing"
    assert np.flatnonzero(series["flow"].isna()).tolist() == [99, 100, 101]
    assert (found.channels[1].outside, found.channels[1].first_outside) == (2, 100)


def test_readings_that_stick_for_a_while_are_kept(check, site, tmp_path):
    frame = station_frame(0, rows=1300)
    frame.loc[100:799, "Q"] = 20.0

    found = check(frame)

    (stuck,) = found.findings
    assert stuck.what == "stuck for 700 readings, first from data row 101"
    assert stuck.training.startswith("keeps")
    assert load_own_file(tmp_path / "north.csv", site)[0]["flow"].notna().all()
    assert (found.channels[1].longest_run, found.channels[1].stuck) == (700, 700)


def test_a_channel_without_a_reading_is_told(check):
    found = check(station_frame(0, rows=1200).assign(Q=np.nan))

    assert told(found) == [("look", "flow")]
    assert found.channels[1].median is None


def test_separators_at_the_ends_of_rows_are_a_column_without_a_name(check, site, tmp_path):
    frame = station_frame(0, rows=1200)
    lines = frame.to_csv(index=False).splitlines()
    (tmp_path / "west.csv").write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:])]))

    found = check_file(tmp_path / "west.csv", site)

    assert (found.exit_code, told(found)) == (0, [("note", "file")])
    name = f"Unnamed: {len(frame.columns)}"
    assert f"1 column that the schema does not use: {name}" in found.findings[0].what
    assert found.channels == check(frame).channels


def test_columns_that_the_schema_does_not_use_are_named(check):
    found = check(station_frame(0, rows=1200).assign(operator="on duty", spare=1.0))

    (finding,) = found.findings
    assert (finding.level, finding.where) == ("note", "file")
    assert finding.what == "2 columns that the schema does not use: operator, spare"
    assert found.exit_code == 0


def test_labels_that_say_nothing_are_told(check):
    unlabelled = check(station_frame(0, rows=1200).drop(columns="flag"))
    abnormal = check(station_frame(0, rows=1200).assign(flag=1))

    assert (told(unlabelled), unlabelled.exit_code) == ([("note", "labels")], 0)
    assert told(abnormal)[0] == ("look", "labels")


def test_a_short_recording_is_told(check):
    """100 rows, a fifth for calibration, each a window of one period."""
    (finding,) = check(station_frame(0, rows=100)).findings

    assert (finding.level, finding.where) == ("note", "calibration")
    assert finding.what.startswith("20 windows of normal operation")


def backwards(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[::-1]


def in_millimetres(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{"Tank 1 [m]": frame["Tank 1 [m]"] * 1000})


def without_a_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="Q")


def in_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    when = pd.date_range("2024-01-01", periods=len(frame), freq="s")
    return frame.assign(when=when.strftime("%d/%m/%Y %H:%M"))


@pytest.mark.parametrize(
    ("fault", "message", "readings"),
    [
        (backwards, "sort the rows by time", True),
        (in_millimetres, "convert the channel to m", True),
        (in_seconds, "time repeats with other readings", True),
        (without_a_column, r"columns ['Q'] are missing", False),
    ],
)
def test_what_training_refuses_cannot_be_used(check, site, tmp_path, fault, message, readings):
    """Exit code 2 with the error of training; the readings are shown where they can be parsed."""
    found = check(fault(station_frame(0, rows=1200)))

    stops = [finding for finding in found.findings if finding.level == "stop"]
    assert found.exit_code == 2 and len(stops) == 1
    assert message in stops[0].what
    with pytest.raises(Exception, match=r"north") as caught:
        load_own_file(tmp_path / "north.csv", site)
    assert str(caught.value) == stops[0].what
    assert len(found.channels) == (3 if readings else 0)
