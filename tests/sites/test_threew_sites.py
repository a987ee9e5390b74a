"""3W's other event types, whose recordings hold other channels, and recordings as sites."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.threew import CHANNELS
from dtfl_app.sites.threew_sites import ThreeWDataset

HYDRATE = 8
ALIVE = {"P-PDG": 2e7, "P-MON-CKP": 1e6, "T-JUS-CKP": 60.0, "QGL": 2.0}


def write(folder: Path, name: str, event: int = HYDRATE, **cells: object) -> None:
    """Twenty minutes of a recording as 3W 2.x has them, the second half of which is the event.

    All of `ALIVE` move; the other columns are empty, as in many wells. `cells` go into columns.
    """
    seconds = np.arange(1200)
    moving = {c: level * (1 + 0.01 * np.sin(seconds / 50)) for c, level in ALIVE.items()}
    frame = pd.DataFrame(
        {
            **dict.fromkeys(CHANNELS, np.nan),
            **moving,
            **cells,
            "class": pd.array(np.where(seconds < 600, 0, event), dtype="Int16"),
        },
        index=pd.date_range("2020-01-01", periods=1200, freq="s", name="timestamp"),
    )
    there = folder / "3w" / str(event)
    there.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(there / f"{name}.parquet")


def opened(folder: Path, **settings: object) -> ThreeWDataset:
    told = {"dataset": "threew", "data.dir": str(folder), "data.event": HYDRATE, **settings}
    return ThreeWDataset.from_config(RunConfig.from_mapping(told))


@pytest.fixture
def wells(tmp_path: Path) -> Path:
    """Three wells: P-PDG is dead in two of them, at 0 and at a value that never changes."""
    write(tmp_path, "WELL-00019_20120301080102")
    write(tmp_path, "WELL-00020_20120301080102", **{"P-PDG": 0.0})
    write(tmp_path, "WELL-00021_20120301080102", **{"P-PDG": 2e7})
    write(tmp_path, "WELL-00021_20120401080102", **{"P-PDG": 2e7})
    return tmp_path


def test_the_channels_of_another_event_are_those_that_most_wells_hold(wells, caplog):
    with caplog.at_level("INFO"):
        dataset = opened(wells)
        opened(wells)

    assert dataset.channels == ("P-MON-CKP", "T-JUS-CKP", "QGL")
    why = "those that most wells have live readings of, and the simulated recordings throughout"
    assert dataset.describe(2) == (
        "3W, recordings of real oil wells, unseen-attacks, event type 8 "
        f"(hydrate-in-production-line), channels P-MON-CKP, T-JUS-CKP, QGL ({why})"
    )
    (line,) = (line for line in caplog.messages if "data.channels is empty" in line)
    assert (
        "event type 8 (hydrate-in-production-line): data.channels is empty; taken are P-MON" in line
    )
    assert why in line
    site = dataset.load_site(0, 2)
    assert len(site.features_train.names) == 9
    assert np.isfinite(site.features_train.values).all()


def test_what_the_simulation_lacks_is_no_channel_of_the_wells(wells):
    write(wells, "SIMULATED_00001", QGL=np.nan)

    dataset = opened(wells)

    assert dataset.channels == ("P-MON-CKP", "T-JUS-CKP")
    assert not dataset.read_recording(dataset.own_twin.recording).isna().any(axis=None)


def test_channels_that_are_named_are_taken_and_those_of_event_2_stay(wells, data_dir):
    named = opened(wells, **{"data.channels": "P-PDG"})

    assert named.channels == ("P-PDG",)
    assert named.describe(2).endswith("event type 8 (hydrate-in-production-line)")
    assert opened(data_dir, **{"data.event": 2}).channels == ("P-TPT", "T-TPT")
    assert opened(data_dir, **{"data.event": 2}).documents() == {}


def test_a_stored_run_knows_its_channels_without_the_recordings(wells, tmp_path):
    dataset = opened(wells)
    run = tmp_path / "run"
    run.mkdir()
    for name, content in dataset.documents().items():
        (run / name).write_bytes(content)
    elsewhere = RunConfig.from_mapping(
        {"dataset": "threew", "data.dir": str(run), "data.event": HYDRATE}
    )

    again = ThreeWDataset.from_run(elsewhere, run)

    assert (again.channels, again.why) == (dataset.channels, dataset.why)


def test_recordings_without_a_live_reading_are_refused(tmp_path):
    write(tmp_path, "WELL-00001_20120301080102", **dict.fromkeys(ALIVE, np.nan))

    with pytest.raises(DataError, match=r"no recording of event type 8 has a live reading"):
        opened(tmp_path)


def test_recordings_are_sites_if_asked_for_and_the_last_well_is_held_out_whole(wells):
    dataset = opened(wells, **{"data.partition": "recordings", "data.held-out": "WELL-00019"})

    assert dataset.sites(3) == [
        "WELL-00020_20120301080102", "WELL-00021_20120301080102", "WELL-00021_20120401080102",
    ]  # fmt: skip
    assert dataset.load_site(1, 3).name == "WELL-00021_20120301080102"
    assert "a site per recording" in dataset.describe(3)
    usual = opened(wells, **{"data.partition": "recordings"})
    assert usual.sites(2) == ["WELL-00019_20120301080102", "WELL-00020_20120301080102"]
    assert len(set(usual.load_evaluation(2).instance)) == 2


def test_a_single_recording_can_be_held_out(wells):
    held = "WELL-00021_20120401080102"
    dataset = opened(wells, **{"data.partition": "recordings", "data.held-out": held})

    assert dataset.sites(3)[-1] == "WELL-00021_20120301080102"
    assert set(dataset.load_evaluation(3).instance) == {f"8/{held}"}
    with pytest.raises(ConfigError, match=f"held-out well '{held}'"):
        opened(wells, **{"data.held-out": held}).sites(3)


def test_pooled_judges_later_recordings_and_the_earlier_ones_are_sites(data_dir):
    """Well 11 keeps 9 of its 13 recordings, well 12 one of two, four wells have one."""
    dataset = ThreeWDataset(data_dir, protocol="pooled", partition="recordings")

    sites = dataset.sites(14)

    assert len([name for name in sites if name.startswith("WELL-00011")]) == 9
    judged = {name.rpartition("/")[2] for name in dataset.load_evaluation(14).instance}
    assert not judged & set(sites)


def test_a_partition_that_cuts_a_well_up_is_refused(wells):
    with pytest.raises(ConfigError, match="leave partition at 'auto' or 'recordings'"):
        opened(wells, **{"data.partition": "dirichlet"})
    with pytest.raises(ConfigError, match=r"partition 'dirichlet'; expected .*'recordings'"):
        ThreeWDataset(wells, partition="dirichlet")
