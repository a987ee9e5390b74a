"""What a draft and a check say where a file does not decide, or where its events have no row."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.sites.clock_guess import turned
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import read_site_schema
from tests.support.station import STATION, station_frame, station_schema

BY_TABLE = STATION.replace('column = "flag"', 'events = "events.csv"')


def of_times(folder, times, form):
    """A file with these times, its draft, and the schema that this is."""
    path = folder / "plant.csv"
    cells = pd.DatetimeIndex(times).strftime(form)
    pd.DataFrame({"t": cells, "x": np.linspace(0, 5, len(cells))}).to_csv(path, index=False)
    draft = draft_schema(path)
    (folder / "schema.toml").write_text(draft.toml)
    return path, draft, read_site_schema(folder / "schema.toml")


def time_findings(path, site):
    return [(f.level, f.what) for f in check_file(path, site).findings if f.where == "time"]


@pytest.mark.parametrize(
    ("written", "guessed"),
    [
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M"),
        ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p"),
        ("%m.%d.%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S"),
    ],
)
def test_day_and_month_that_nothing_tells_apart_are_a_guess_that_is_told(
    tmp_path, written, guessed
):
    """One day in January, in 10 hours: with am and pm the month is taken to come first."""
    times = pd.date_range("2024-01-03", periods=600, freq="min")
    path, draft, site = of_times(tmp_path, times, written)

    assert site.time_formats == (guessed,)
    (said,) = draft.unsure
    assert f'time-formats = ["{guessed}"] is a guess' in said
    assert f'write time-formats = ["{turned(guessed)}"]' in said
    assert f"# {said}\n" in draft.toml
    ((level, what),) = time_findings(path, site)
    assert level == "note" and f'"{guessed}" is a guess' in what


def test_the_form_that_keeps_time_even_is_chosen_and_nothing_is_doubted(tmp_path):
    """From 23:00 on 3 January to 6:00 on the 4th: days first, time leaps by a month at midnight."""
    times = pd.date_range("2024-01-03 23:00", periods=420, freq="min")
    path, draft, site = of_times(tmp_path, times, "%m/%d/%Y %H:%M")

    assert (site.time_formats, draft.unsure) == (("%m/%d/%Y %H:%M",), ())
    assert time_findings(path, site) == []


def test_a_schema_by_which_time_is_less_even_than_the_other_way_round_is_worth_a_look(tmp_path):
    times = pd.date_range("2024-01-03 23:00", periods=420, freq="min")
    path, draft, _ = of_times(tmp_path, times, "%m/%d/%Y %H:%M")
    (tmp_path / "turned.toml").write_text(draft.toml.replace("%m/%d/%Y", "%d/%m/%Y"))

    found = time_findings(path, read_site_schema(tmp_path / "turned.toml"))

    assert ("look", True) in [(level, "makes its steps less even" in what) for level, what in found]


def test_days_beyond_the_twelfth_decide(tmp_path):
    times = pd.date_range("2024-01-13", periods=60, freq="min")
    path, draft, site = of_times(tmp_path, times, "%m/%d/%Y %H:%M")

    assert (site.time_formats, draft.unsure) == (("%m/%d/%Y %H:%M",), ())
    assert time_findings(path, site) == []


@pytest.fixture
def labelled(tmp_path):
    """Ten minutes from 20:00 at "north", labelled by a table."""

    def read(table: str):
        site = station_schema(tmp_path, BY_TABLE)
        (tmp_path / "events.csv").write_text(table)
        path = tmp_path / "north.csv"
        station_frame(0, rows=10).drop(columns="flag").to_csv(path, index=False)
        return path, site

    return read


def test_events_without_a_row_are_named_by_check_and_by_training(labelled, caplog):
    """The third falls between two rows, and so is nobody else's either."""
    path, site = labelled(
        "start,end,event,site\n"
        "2023-01-30T20:01,2023-01-30T20:02,last-year,north\n"
        "2024-01-31T20:01,2024-01-31T20:02,tomorrow,\n"
        "2024-01-30T20:03:10,2024-01-30T20:03:20,short,\n"
        "2024-01-30T20:05,2024-01-30T20:06,leak,\n"
        "2023-01-30T20:01,2023-01-30T20:02,theirs,south\n"
    )

    series, _ = load_own_file(path, site)
    load_own_file(path, site)

    assert set(series["event"]) == {"", "leak"}
    (line,) = caplog.messages
    assert "north.csv: 3 events of the table cover no row of it: 'last-year', 2023-01-30" in line
    found = [f for f in check_file(path, site).findings if f.where == "labels"]
    look, note = ((f.level, f.what) for f in found)
    assert look[0] == "look" and "2 events" in look[1] and "'last-year'" in look[1]
    assert "'short', 2024-01-30T20:03:10 to 2024-01-30T20:03:20, between two rows" in look[1]
    assert note[0] == "note" and "1 event of the table" in note[1] and "'tomorrow'" in note[1]
    assert "theirs" not in str(found)


@pytest.mark.parametrize("time", ["9999-12-31 00:00:00", "2262-05-01", "1677-01-01T00:00"])
def test_events_of_years_that_cannot_be_told_are_refused_with_row_and_value(labelled, time):
    path, site = labelled(
        f"start,end,event\n2024-01-30T20:01,2024-01-30T20:02,leak\n2024-01-30T20:01,{time},leak\n"
    )

    with pytest.raises(DataError, match=rf"events\.csv: data row 2, column 'end': '{time}' is not"):
        load_own_file(path, site)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("year", [2300, 1600])
def test_rows_of_years_that_cannot_be_told_are_refused_in_parquet_too(tmp_path, unit, year):
    """2300 once came out as 1715."""
    frame = station_frame(0, rows=3)
    when = np.array([f"2024-01-30T20:0{minute}" for minute in range(3)], f"datetime64[{unit}]")
    when[1] = np.datetime64(f"{year}-01-01", unit)
    frame.assign(when=when).to_parquet(tmp_path / "north.parquet")

    with pytest.raises(DataError, match=rf"data row 2, column 'when': .*{year}.* is not a time"):
        load_own_file(tmp_path / "north.parquet", station_schema(tmp_path))


@pytest.mark.parametrize("form", ["%d/%m/%Q", "%d/%m/%Y %", "%d %d", "noon"])
def test_a_directive_that_is_unknown_is_an_error_of_the_schema(tmp_path, form):
    with pytest.raises(SchemaError, match=r"schema\.toml: time-formats: "):
        station_schema(tmp_path, STATION.replace("%d/%m/%Y %H:%M", form))
