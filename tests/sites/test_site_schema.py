"""A site's TOML: what it may hold, and that it is written as it is read."""

import pytest

from dtfl_app.core.errors import SchemaError
from dtfl_app.sites.site_schema import EventTable, read_site_schema
from dtfl_app.sites.stretches import GapFilling
from tests.support.station import STATION, station_schema


def test_what_is_read_is_written_and_read_again(tmp_path):
    first = station_schema(tmp_path)

    assert station_schema(tmp_path, first.to_toml()) == first
    assert first.columns == {"level": "Tank 1 [m]", "flow": "Q", "pump": "P1"}


def test_words_and_marks_of_a_file_are_written_as_they_are_read(tmp_path):
    keys = 'encoding = "cp1252"\nheader-row = 2\nskip-rows = 1\n'
    keys += 'thousands = "\'"\nmissing = ["Bad Input", "-"]\nstates = { OFF = 0, "a b" = 2.5 }\n'

    first = station_schema(tmp_path, keys + STATION)

    assert (first.csv.encoding, first.csv.header_row, first.csv.skip_rows) == ("cp1252", 2, 1)
    assert first.csv.missing == ("Bad Input", "-")
    assert first.csv.states == {"OFF": 0.0, "a b": 2.5}
    assert station_schema(tmp_path, first.to_toml()) == first


def test_a_unit_of_time_is_written_as_it_is_read(tmp_path):
    first = station_schema(
        tmp_path, STATION.replace('time-formats = ["%d/%m/%Y %H:%M"]', 'time-unit = "ms"')
    )

    assert first.time_unit == "ms"
    assert station_schema(tmp_path, first.to_toml()) == first


@pytest.mark.parametrize(
    ("keys", "gaps"),
    [
        ("", GapFilling()),
        ("max-gap-s = 300\n", GapFilling(300.0, "hold")),
        ('max-gap-s = 91\nfill = "interpolate"\n', GapFilling(91.0, "interpolate")),
    ],
)
def test_gaps_to_fill_are_a_sites_own_and_written_as_they_are_read(tmp_path, keys, gaps):
    plain = station_schema(tmp_path)

    first = station_schema(tmp_path, keys + STATION)

    assert first.gaps == gaps
    assert first.schema.digest() == plain.schema.digest()
    assert station_schema(tmp_path, first.to_toml()) == first


def test_a_table_of_events_lies_beside_the_schema(tmp_path):
    text = STATION.replace('column = "flag"', 'events = "events.csv"')

    site = station_schema(tmp_path, text)

    assert site.labels == EventTable(tmp_path / "events.csv")
    assert 'events = "events.csv"' in site.to_toml()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("period-s = 60", "period = 60", r"at the top: unknown keys \['period'\]"),
        ("period-s = 60", "period-s = 0", "a period above 0 s"),
        ("period-s = 60", 'period-s = "60"', "period-s = '60'; expected a number"),
        ('kind = "flow"', 'kind = "flux"', r"\[\[channel\]\] 'flow': kind = 'flux'"),
        ('unit = "L/s"', "", r"\[\[channel\]\] 'flow': unit = None; expected a text"),
        ("high = 12", "high = 0", "range .* is empty; low must be below high"),
        ('name = "pump"', 'name = "label"', "a channel cannot be called so"),
        ('name = "pump"', 'name = "flow"', r"channel names occur twice: \['flow'\]"),
        ('column = "flag"', 'column = "flag"\nnormal = [0, 1]', r"\[1.0\] stand in two lists"),
        ('column = "flag"', "", "expected either column or events"),
        ('time = "when"', 'fill = "hold"', "fill = 'hold' without max-gap-s fills nothing"),
        ('time = "when"', "max-gap-s = 90", "max-gap-s = 90; expected seconds above 90.* to 36000"),
        ('time = "when"', "max-gap-s = 36001", "max-gap-s = 36001; expected seconds above 90"),
        ('time = "when"', "max-gap-s = true", "max-gap-s = True; expected a number"),
        ('time = "when"', 'max-gap-s = 99\nfill = "mean"', "fill = 'mean'; expected one of .*hold"),
        ('time = "when"', 'separator = ";;"', "separator = ';;'; expected one character"),
        ('time = "when"', 'thousands = "."', "thousands and decimal are both '.'"),
        ('time = "when"', 'missing = "-"', "missing = '-'; expected words"),
        ('time = "when"', 'states = { OFF = "0" }', "expected numbers, e.g. states = { OFF = 0"),
        ('time = "when"', "states = { 7 = 0 }", r"states: \['7'\] are numbers already"),
        ('time = "when"', 'missing = ["on"]\nstates = { ON = 1 }', r"\['on'\] stand in missing"),
        ('["%d/%m/%Y %H:%M"]', '["mixed"]', "time-formats: 'mixed' has no directive"),
        ('["%d/%m/%Y %H:%M"]', '["%d/%Q"]', "time-formats: '%Q' is no directive that is known"),
        ('["%d/%m/%Y %H:%M"]', '["%d %d"]', "time-formats: '%d %d' has a directive twice"),
        ('time = "when"', 'time-unit = "ms"', "time-unit and time-formats are both there"),
        ('time = "when"', 'time-unit = "h"', r"time-unit = 'h'; expected one of \['s', 'ms', 'us'"),
        ('time = "when"', 'encoding = "utf-32"', "encoding = 'utf-32'; expected one such as"),
        ('time = "when"', 'encoding = "klingon"', "encoding = 'klingon'; expected one such as"),
        ('time = "when"', "header-row = -1", "header-row = -1; expected a number of lines"),
        ('time = "when"', 'skip-rows = "1"', "skip-rows = '1'; expected a number of lines"),
        ('time = "when"', 'order = "up"', r"order = 'up'; expected one of \['oldest-first', 'new"),
        ('time = "when"', 'twin = "yes"', "twin = 'yes'; expected one of"),
        ("[labels]", "[labels", "not a site schema in TOML"),
    ],
)
def test_what_is_wrong_is_refused_by_file_table_and_key(tmp_path, old, new, message):
    assert old in STATION

    with pytest.raises(SchemaError, match=message) as caught:
        station_schema(tmp_path, STATION.replace(old, new, 1))
    assert str(tmp_path / "schema.toml") in str(caught.value)


def test_a_schema_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(SchemaError, match="`dtfl site draft FILE` writes a first one"):
        read_site_schema(tmp_path / "none.toml")
