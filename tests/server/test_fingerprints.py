"""A run that is taken up on other data than it began with is refused, and left as it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dtfl_app.core.errors import CheckpointError, DTFLError
from dtfl_app.results.checkpoint import CheckpointFolder
from dtfl_app.server.fingerprints import require_same_data
from tests.server.test_files_run import Station
from tests.support.station import write_station

SETTINGS = {"strategy": "fedavg", "rounds": 2, "checkpoint_every": 1}


@pytest.fixture
def station(tmp_path):
    return Station(write_station(tmp_path / "files"), tmp_path / "results")


@pytest.fixture
def begun(station):
    """A run with checkpoints after both of its rounds, and what its folder holds of them."""
    return station.run(**SETTINGS).path


def take_up(station, path, folder=None, **settings):
    moved = Station(folder or station.folder, station.results)
    told = {**SETTINGS, "resume": str(path), "run_name": Path(path).name, **settings}
    return moved.run(**told)


def rounds_of(path):
    files = [path / "metrics.jsonl", path / "summary.json", *(path / "checkpoints").iterdir()]
    return {file: file.read_bytes() for file in files}


def test_a_folder_that_was_moved_is_the_same_data(station, begun, tmp_path):
    before = (begun / "metrics.jsonl").read_bytes()
    moved = shutil.move(station.folder, tmp_path / "elsewhere")

    take_up(station, begun, moved)

    assert (begun / "metrics.jsonl").read_bytes() == before


def test_a_checkpoint_of_another_run_with_the_same_settings_is_refused(station, begun):
    """It would bring its own scaling along, and its sites' names hide what they held."""
    other = station.run(**SETTINGS, run_name="other").path
    (newest,) = [path for path in (other / "checkpoints").iterdir() if "000002" in path.name]
    put = shutil.copy(newest, begun / "checkpoints" / "0009-fedavg-000002.safetensors")
    before = rounds_of(begun)

    for resume in (begun, put):
        with pytest.raises(
            CheckpointError, match=r"fedavg after round 2 is of the run [0-9a-f]{16},"
        ):
            take_up(station, resume, run_name=begun.name)

    assert rounds_of(begun) == before


@pytest.mark.parametrize(
    ("name", "whose"), [("north.csv", "north"), ("judge.csv", r"\(evaluation set\)")]
)
def test_other_readings_are_refused_before_anything_is_cut(station, begun, name, whose):
    before = rounds_of(begun)
    lines = (station.folder / name).read_text().splitlines()
    (station.folder / name).write_text("\n".join(lines[:-20]) + "\n")

    with pytest.raises(CheckpointError, match=f"not that of the run: {whose} held other readings"):
        take_up(station, begun)

    assert rounds_of(begun) == before


def test_a_checkpoint_without_fingerprints_is_taken_up_as_ever(station, begun):
    checkpoints = CheckpointFolder(begun / "checkpoints")
    old = checkpoints.latest()
    notes = {key: value for key, value in old.notes.items() if key != "data"}
    path = checkpoints.write(replace(old, notes=notes))
    (station.folder / "north.csv").write_bytes((station.folder / "south.csv").read_bytes())

    take_up(station, path.parent.parent)

    assert (begun / "summary.json").exists()


def test_a_resume_that_fails_later_leaves_the_run_as_it_was(station, begun, tmp_path):
    """The twin's recording, named again at another place, is not the sites' any more."""
    path = tmp_path / "twin.csv"
    shutil.copy(station.folder / "south.csv", path)
    run = station.run(**SETTINGS, twin__kind="recorded", twin__recording=str(path)).path
    before = rounds_of(run)
    path.write_text("when,Q\n")

    with pytest.raises(DTFLError):
        take_up(station, run, twin__kind="recorded", twin__recording=str(path))

    assert rounds_of(run) == before


def test_a_site_that_is_away_is_not_judged():
    require_same_data({"a": "1", "b": "2"}, {"a": "1", "c": "3"})
    require_same_data({}, {"a": "1"})
