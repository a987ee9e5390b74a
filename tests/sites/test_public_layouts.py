"""Layouts of public data sets, from file to schema, labels and a gateway's rows, as drafted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.detection.rows import RowReader
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.raw_files import read_raw
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import read_site_schema
from tests.support.station import station_frame

ROWS, EVENT = 700, slice(300, 340)


def readings(place: int, surge: bool) -> tuple[pd.DataFrame, np.ndarray, pd.DatetimeIndex]:
    """Level and flow, which rows are of the event, and times from 18:00 on 3 January."""
    frame = station_frame(place, ROWS, EVENT if surge else None)
    when = pd.date_range("2024-01-03 18:00", periods=ROWS, freq="min")
    return frame[["Tank 1 [m]", "Q"]], frame["flag"].to_numpy() == 1, when


def rig(path: Path, place: int, surge: bool) -> None:
    """Semicolons, ISO times, two label columns of floats."""
    frame, event, when = readings(place, surge)
    changes = np.diff(event.astype(float), prepend=0.0) != 0.0
    frame.insert(0, "datetime", when.astype(str))
    frame.assign(anomaly=event * 1.0, changepoint=changes * 1.0).to_csv(path, index=False, sep=";")


def water_treatment(path: Path, place: int, surge: bool) -> None:
    """Spaces before names and times, months first with am and pm, labels with a typing error."""
    frame, event, when = readings(place, surge)
    label = np.where(event, "Attack", "Normal").astype(object)
    if surge:
        label[EVENT.start + 5] = "A ttack"
    frame.insert(0, " Timestamp", [f" {t:%m/%d/%Y %I:%M:%S %p}" for t in when])
    frame.assign(**{" MV101": np.arange(ROWS) % 9 // 5 + 1, "Normal/Attack": label}).to_csv(
        path, index=False
    )


def well(path: Path, place: int, surge: bool) -> None:
    """A state in words, and a class that is empty where nobody labelled."""
    frame, event, when = readings(place, surge)
    state = np.where(np.arange(ROWS) % 11 < 6, "OPEN", "CLOSED")
    label = np.where(event, "8", "0").astype(object)
    label[:20] = ""
    frame.insert(0, "timestamp", when.strftime("%Y-%m-%d %H:%M:%S.%f"))
    frame.assign(state=state, **{"class": label}).to_csv(path, index=False)


@pytest.mark.parametrize("write", [rig, water_treatment, well])
def test_what_is_drafted_reads_the_layout_whole(
    tmp_path: Path, write: Callable[[Path, int, bool], None]
) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for place, path in enumerate(paths):
        write(path, place, path.stem == "b")

    draft = draft_schema(*paths)
    (tmp_path / "schema.toml").write_text(draft.toml)
    site = read_site_schema(tmp_path / "schema.toml")

    assert draft.unsure == ()
    assert [check_file(path, site).exit_code for path in paths] == [0, 0]
    series, _ = load_own_file(paths[1], site)
    assert series["time"].iloc[0] == pd.Timestamp("2024-01-03 18:00")
    assert np.flatnonzero(series["label"] == 1).tolist() == list(range(EVENT.start, EVENT.stop))
    assert set(series["event"]) == {"", "flagged-1"}
    for path in paths:
        header, *lines = path.read_text().splitlines()
        reader = RowReader(site, split_line(header, site.csv.separator), path.stem, ())
        rows = [reader.read(split_line(line, site.csv.separator)) for line in lines]
        raw = read_raw(path, site, path.stem)
        assert [row.time for row in rows] == raw.time.astype(np.int64).tolist()
        np.testing.assert_array_equal([row.readings for row in rows], raw.values.to_numpy())
