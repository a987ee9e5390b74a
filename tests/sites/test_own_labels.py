"""Labels from a table of events: whose they are, what they are called, where they overlap."""

import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.sites.own_files import load_own_file
from tests.support.station import STATION, station_frame, station_schema

BY_TABLE = STATION.replace('column = "flag"', 'events = "events.csv"')


@pytest.fixture
def labelled(tmp_path):
    """Label ten minutes from 20:00 by a table, as the site "north" or another."""

    def read(table: str, name: str = "north") -> list[str]:
        site = station_schema(tmp_path, BY_TABLE)
        (tmp_path / "events.csv").write_text(table)
        station_frame(0, rows=10).to_csv(tmp_path / "north.csv", index=False)
        series, _ = load_own_file(tmp_path / "north.csv", site, name)
        assert series["label"].tolist() == [int(bool(event)) for event in series["event"]]
        return series["event"].tolist()

    return read


def test_start_and_end_are_inclusive_and_other_rows_normal(labelled):
    table = "start,end,event\n30/01/2024 20:03,30/01/2024 20:05,leak\n"

    assert labelled(table) == [""] * 3 + ["leak"] * 3 + [""] * 4


def test_iso_times_are_read_whatever_the_sites_own_format(labelled):
    assert labelled("start,end,event\n2024-01-30T20:09,2024-01-30T20:30,leak\n")[9] == "leak"


def test_events_of_other_sites_do_not_count_and_unnamed_sites_are_all(labelled):
    table = (
        "start,end,event,site\n"
        "2024-01-30T20:01,2024-01-30T20:01,mine,north\n"
        "2024-01-30T20:02,2024-01-30T20:02,theirs,south\n"
        "2024-01-30T20:03,2024-01-30T20:03,everyones,\n"
    )

    assert labelled(table)[:4] == ["", "mine", "", "everyones"]
    assert labelled(table, name="south")[:4] == ["", "", "theirs", "everyones"]


def test_events_of_one_name_are_numbered_and_overlaps_joined(labelled):
    """Figures count events by name, so two leaks must not pass for one."""
    table = (
        "start,end,event\n"
        "2024-01-30T20:01,2024-01-30T20:02,leak\n"
        "2024-01-30T20:05,2024-01-30T20:06,leak\n"
        "2024-01-30T20:06,2024-01-30T20:07,\n"
    )

    assert labelled(table)[1:8] == [
        "leak#1", "leak#1", "", "", "leak#2", "leak#2+event", "event",
    ]  # fmt: skip


def test_a_table_without_events_says_that_all_is_normal(labelled):
    assert labelled("start,end,event\n") == [""] * 10


def test_an_event_that_ends_before_it_starts_is_refused(labelled):
    with pytest.raises(DataError, match=r"events\.csv: data row 1: the event ends at .*before"):
        labelled("start,end,event\n2024-01-30T20:05,2024-01-30T20:01,leak\n")


def test_a_table_that_is_not_there_is_refused(tmp_path):
    site = station_schema(tmp_path, BY_TABLE)
    station_frame(0, rows=10).to_csv(tmp_path / "north.csv", index=False)

    with pytest.raises(DataError, match=r"events\.csv: no such file"):
        load_own_file(tmp_path / "north.csv", site)
