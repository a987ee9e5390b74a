from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import ConfigError, DataError, SchemaError
from dtfl_app.sites.threew import CHANNELS, read_threew, read_threew_raw, threew_schema, well_of

ALL = tuple(CHANNELS)


@pytest.fixture(scope="module")
def wells(data_dir: Path) -> pd.DataFrame:
    return read_threew(data_dir / "3w" / "class2_WELL.parquet")


@pytest.fixture(scope="module")
def recording(data_dir: Path) -> pd.DataFrame:
    """One real recording, all its 1,980 rows, in the columns of the published CSV files."""
    frame = pd.read_parquet(data_dir / "3w" / "class2_WELL.parquet")
    rows = frame[frame["instance"] == "2/WELL-00011_20140530100015"]
    return rows[["timestamp", *ALL, "class"]].reset_index(drop=True)


def write_recording(root: Path, recording: pd.DataFrame, form: str) -> Path:
    folder = root / "2"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"WELL-00011_20140530100015.{form}"
    if form == "csv":
        recording.to_csv(path, index=False)
    else:
        as_published = recording.assign(
            timestamp=pd.to_datetime(recording["timestamp"]),
            state=pd.array([0] * len(recording), dtype="Int16"),
            **{"class": recording["class"].astype("Int16"), "ESTADO-DHSV": np.nan},
        )
        as_published.set_index("timestamp").to_parquet(path)
    return path


def test_the_measured_wells_are_those_of_the_source(wells):
    rows = wells.groupby(wells["instance"].map(well_of)).size().to_dict()
    assert rows == {
        "WELL-00003": 5084,
        "WELL-00009": 6738,
        "WELL-00010": 5310,
        "WELL-00011": 100_856,
        "WELL-00012": 5056,
        "WELL-00013": 9989,
    }
    assert wells["instance"].nunique() == 19
    assert wells["label"].value_counts().to_dict() == {1: 72_141 + 16_034, 0: 44_161, -1: 697}
    assert wells.columns.tolist() == threew_schema().columns


def test_every_occurrence_of_the_event_has_a_name_of_its_own(wells):
    abnormal = wells[wells["label"] == 1]

    assert abnormal["event"].nunique() == 19
    assert "spurious-closure-of-dhsv WELL-00003_20180206182917" in set(abnormal["event"])
    assert set(wells.loc[wells["label"] < 1, "event"]) == {""}


def test_the_simulated_wells_share_the_schema(data_dir):
    series = read_threew(data_dir / "3w" / "class2_SIMULATED.parquet", ("P-PDG", "P-TPT", "T-TPT"))

    assert len(series) == 460_784
    assert series["instance"].nunique() == 16
    assert not series[["P-PDG", "P-TPT", "T-TPT"]].isna().any(axis=None)


def test_a_pressure_gauge_at_zero_reads_as_missing(data_dir):
    path = data_dir / "3w" / "class2_WELL.parquet"
    raw = read_threew_raw(path, ("P-PDG",))

    cleaned = read_threew(path, ("P-PDG",))

    assert (raw["P-PDG"] == 0).sum() > 30_000
    assert cleaned["P-PDG"].min() >= 1e5
    assert cleaned["P-PDG"].notna().sum() > 79_000


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_published_forms_say_the_same_as_the_compact_one(tmp_path, wells, recording, form):
    path = write_recording(tmp_path, recording, form)
    expected = wells[wells["instance"] == "2/WELL-00011_20140530100015"].reset_index(drop=True)

    pd.testing.assert_frame_equal(read_threew(path), expected)
    pd.testing.assert_frame_equal(read_threew(tmp_path), expected)


def test_the_published_folder_gives_only_the_source_and_events_asked_for(tmp_path, recording):
    write_recording(tmp_path, recording, "csv")
    (tmp_path / "0").mkdir()
    recording.assign(**{"class": 0}).to_csv(tmp_path / "0" / "WELL-00001_1.csv", index=False)
    recording.to_csv(tmp_path / "2" / "SIMULATED_00001.csv", index=False)

    both = read_threew(tmp_path, events=(0, 2))
    simulated = read_threew(tmp_path, source="SIMULATED")

    assert both["instance"].unique().tolist() == ["0/WELL-00001_1", "2/WELL-00011_20140530100015"]
    assert simulated["instance"].unique().tolist() == ["2/SIMULATED_00001"]


def test_wells_are_told_from_recordings():
    assert well_of("2/WELL-00011_20140929170028") == "WELL-00011"
    assert well_of("WELL-00003_20180206182917") == "WELL-00003"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="P-TPT"), r"columns \['P-TPT'\] are missing"),
        (lambda f: f.assign(**{"P-TPT": f["P-TPT"] / 1000}), r"'P-TPT': 100% .* to Pa"),
        (lambda f: f.assign(**{"T-TPT": "hot"}), r"data row 1, column 'T-TPT': 'hot'"),
        (lambda f: f.assign(timestamp="late"), r"column 'timestamp': 'late' is not a time"),
        (lambda f: f.assign(**{"class": 42}), r"column 'class': 42 is no event type"),
        (lambda f: f.iloc[::-1], r"time goes back or repeats"),
    ],
)
def test_recordings_that_cannot_be_right_are_refused(tmp_path, recording, change, message):
    path = write_recording(tmp_path, change(recording), "csv")

    with pytest.raises((DataError, SchemaError), match=message):
        read_threew(path)


def test_unknown_channels_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown channels \['P-XYZ'\]"):
        threew_schema(("P-XYZ",))
    with pytest.raises(DataError, match=r"no recording WELL\*\.csv"):
        read_threew(tmp_path)
