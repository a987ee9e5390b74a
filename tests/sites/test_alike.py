"""One schema drafted from several files."""

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import LabelColumn, read_site_schema
from tests.support.station import station_frame


def two_files(folder, **more):
    """North, and south with readings of twice the span and other words; `more` goes into south."""
    north = station_frame(0, rows=900)
    north["P1"] = np.where(north.index % 7 < 4, "ON", "OFF")
    north.loc[[3, 4], "P1"] = "No Data"
    south = north.copy()
    for column in ("Tank 1 [m]", "Q"):
        middle = south[column].mean()
        south[column] = (middle + 2 * (south[column] - middle)).round(3)
    south["P1"] = np.where(south.index % 9 < 4, "running", "stopped")
    south.loc[[7, 8], "P1"] = "-"
    south["flag"] = (south.index > 800) * 2
    paths = folder / "north.csv", folder / "south.csv"
    for frame, path in zip((north, south.assign(**more)), paths, strict=True):
        frame.to_csv(path, index=False)
    return paths


def test_several_files_give_one_schema_over_all(tmp_path):
    north, south = two_files(tmp_path, extra=1.0)
    draft = draft_schema(north, south)
    (tmp_path / "schema.toml").write_text(draft.toml)

    site = read_site_schema(tmp_path / "schema.toml")

    assert site.csv.states == {"ON": 1.0, "OFF": 0.0, "running": 1.0, "stopped": 0.0}
    assert site.csv.missing == ("No Data", "-")
    assert site.labels == LabelColumn("flag", abnormal=(2.0,))
    assert site.schema.name == tmp_path.name
    assert draft.left_out == ('column "extra": north.csv does not have it',)
    assert "# A first schema for north.csv, south.csv, guessed from 1800 rows" in draft.toml
    level = site.schema.channels[0]
    assert level.low <= pd.read_csv(south)["Tank 1 [m]"].min()
    for path in (north, south):
        assert check_file(path, site).exit_code <= 1


def test_a_range_guessed_from_one_file_fits_the_next_sites(tmp_path):
    """A guess that is too narrow makes missing readings of good ones, or refuses the file."""
    north, south = two_files(tmp_path, P1="ON", flag=0)
    (tmp_path / "schema.toml").write_text(draft_schema(north).toml)
    site = read_site_schema(tmp_path / "schema.toml")

    found = check_file(south, site)

    assert found.exit_code <= 1
    assert [channel.outside for channel in found.channels] == [0, 0, 0]
    level, flow, pump = site.schema.channels
    assert (level.low, level.high) == (0.0, 20.0)
    assert (flow.kind, flow.low, flow.high) == ("other", -20.0, 60.0)
    assert (pump.low, pump.high) == (0.0, 1.0)
    text = (tmp_path / "schema.toml").read_text()
    assert "low and high are a wide guess: take what is physically possible from the data" in text


def test_a_column_that_cannot_be_read_is_named_with_its_file_and_row_there(tmp_path):
    extra = ["1.5"] * 899 + ["1.2.3"]
    north, south = two_files(tmp_path, Q=extra)

    (reason,) = draft_schema(north, south).left_out

    assert reason.startswith(
        "column \"Q\": in south.csv 1 of 900 cells are not numbers, first '1.2.3' in data row 900;"
    )


def test_files_that_are_written_differently_take_a_draft_each(tmp_path):
    north, south = two_files(tmp_path)
    pd.read_csv(south).to_csv(south, index=False, sep=";")

    with pytest.raises(DataError, match=r"south\.csv: it is not written as .*north\.csv is"):
        draft_schema(north, south)


def test_a_file_that_is_sampled_otherwise_is_named(tmp_path):
    north, south = two_files(tmp_path)
    pd.read_csv(south)[::5].to_csv(south, index=False)

    draft = draft_schema(north, south)

    (said,) = draft.unsure
    assert said.startswith(
        "period-s = 60 is that of most rows, but south.csv is sampled every 300 s"
    )
    assert f"# {said}\n" in draft.toml


def test_files_of_two_orders_take_a_draft_each(tmp_path):
    north, south = two_files(tmp_path)
    pd.read_csv(south)[::-1].to_csv(south, index=False)

    with pytest.raises(
        DataError, match=r"south\.csv: its newest row is the first, that of .*north"
    ):
        draft_schema(north, south)
    assert 'order = "newest-first"' in draft_schema(south).toml
