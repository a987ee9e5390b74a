"""A Parquet file means what the CSV file of the same table does, whatever its types."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.detection.parquet import parquet_rows
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.readers import read_table
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema
from twin.schema import Channel, Schema

PAIR = Schema("pair", tuple(Channel(n, "m", "level", -9e9, 9e9) for n in ("a", "b")), 60.0)
SITE = SiteSchema(PAIR, csv=CsvDialect(missing=("Bad Input",), states={"ON": 1.0, "OFF": 0.0}))
MINUTES = [datetime.datetime(2024, 3, 1, 0, minute) for minute in range(4)]
NS = [pd.Timestamp(minute).value for minute in MINUTES]
NUMBERS = {
    "float32": pa.array([1.5, None, 2.0, 0.0], pa.float32()),
    "whole, some missing": pa.array([1, None, 2, 0], pa.int64()),
    "unsigned": pa.array([1, None, 2, 0], pa.uint8()),
    "decimal": pa.array([Decimal("1.50"), None, Decimal("2.00"), Decimal(0)], pa.decimal128(9, 2)),
    "truth": pa.array([True, None, False, True]),
    "text": pa.array(["1.5", "bad input", "2", "OFF"]),
    "dictionary": pa.array(["1.5", None, "ON", "OFF"]).dictionary_encode(),
}
TIMES = {
    "text": pa.array([str(minute) for minute in MINUTES]),
    "dictionary": pa.array([str(minute) for minute in MINUTES]).dictionary_encode(),
    **{unit: pa.array(MINUTES, pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    "zone": pa.array(MINUTES, pa.timestamp("ms", "Europe/Berlin")),
}


def write(path, time, level):
    pq.write_table(pa.table({"time": time, "a": level, "b": pa.array([7.0] * 4)}), path)
    return path


def rows(path, site=SITE, optional=()):
    return list(parquet_rows(path, site, optional))


def agree(path, site=SITE):
    """Hold detection's rows against training's; return these."""
    raw, found = read_raw(path, site, "site"), rows(path, site)
    assert [row.time for row in found] == raw.time.astype(np.int64).tolist()
    np.testing.assert_array_equal([row.readings for row in found], raw.values.to_numpy())
    assert not any(row.bad for row in found)
    return raw


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_type_are_those_of_training(tmp_path, kind):
    raw = agree(write(tmp_path / "site.parquet", TIMES["ns"], NUMBERS[kind]))

    first = 1.0 if NUMBERS[kind].type in (pa.int64(), pa.uint8(), pa.bool_()) else 1.5
    assert raw.values["a"][0] == first
    assert np.isnan(raw.values["a"][1])


@pytest.mark.parametrize("kind", TIMES)
def test_times_of_any_type_are_the_instants_that_they_say(tmp_path, kind):
    raw = agree(write(tmp_path / "site.parquet", TIMES[kind], NUMBERS["float32"]))

    assert raw.time.astype(np.int64).tolist() == NS


@pytest.mark.parametrize("levels", [["time"], ["plant", "time"]])
def test_a_time_in_the_index_is_a_column(tmp_path, levels):
    """Drafted, checked, trained on and detected alike."""
    frame = pd.DataFrame({"time": MINUTES, "plant": "p", "a": [1.0, 2, 3, 4], "b": 7.0})
    frame.set_index(levels).to_parquet(tmp_path / "site.parquet")

    (tmp_path / "site.toml").write_text(draft_schema(tmp_path / "site.parquet").toml)

    site = read_site_schema(tmp_path / "site.toml")
    raw = agree(tmp_path / "site.parquet", site)
    assert raw.time.astype(np.int64).tolist() == NS
    assert raw.values.columns.tolist() == ["a", "b"]


def test_row_numbers_of_an_exported_frame_are_no_column(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2, 3]})[lambda found: found["a"] > 1]
    frame.to_parquet(tmp_path / "site.parquet")

    assert list(read_table(tmp_path / "site.parquet").columns) == ["a"]


def test_what_cannot_be_read_is_missing_and_named(tmp_path):
    time = pa.array([str(MINUTES[0]), "yesterday", None, str(MINUTES[3])])
    path = write(tmp_path / "site.parquet", time, pa.array(["1", "2", "3", "wet"]))

    first, second, third, last = rows(path)

    assert (first.readings.tolist(), first.bad) == ([1.0, 7.0], ())
    assert "'yesterday' is not a time in the format ISO8601" in second
    assert "is not a time" in third
    np.testing.assert_array_equal(last.readings, [np.nan, 7.0])
    assert last.bad == ("a",)


def test_a_time_that_64_bits_of_nanoseconds_do_not_hold_is_none(tmp_path):
    time = pa.array([*MINUTES[:3], datetime.datetime(2999, 1, 1)], pa.timestamp("us"))
    path = write(tmp_path / "site.parquet", time, NUMBERS["float32"])

    assert "2999" in rows(path)[3]
    with pytest.raises(DataError, match=r"data row 4, column 'time': .*2999.* is not a time"):
        read_raw(path, SITE, "site")


def test_a_column_that_is_not_there_and_a_file_without_rows_are_refused(tmp_path):
    path = write(tmp_path / "site.parquet", TIMES["ns"], NUMBERS["float32"])
    other = SiteSchema(PAIR, {"a": "Level A"})

    with pytest.raises(SchemaError, match=r"columns \['Level A'\] are missing"):
        rows(path, other)
    assert np.isnan(rows(path, other, ["a"])[0].readings[0])
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(DataError, match="holds no rows"):
        rows(path)
