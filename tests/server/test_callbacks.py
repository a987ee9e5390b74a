"""What a run does at every step of its strategies."""

import json

import numpy as np
import pytest

from dtfl_app.core.sections import PrivacySettings
from dtfl_app.detector.calibration import Calibration
from dtfl_app.messages.privacy import PrivacyLedger
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.rounds.state import Agreement, Snapshot, State
from dtfl_app.server.callbacks import Privacy, Record, SaveCheckpoints
from tests.support.line_model import line

NOTHING = Calibration((0.0,), {})


@pytest.fixture
def results(tmp_path):
    return RunDirectory(tmp_path / "run", {"rounds": 3}, 0.8)


def snapshot(server_round: int) -> Snapshot:
    agreed = {"mean": np.zeros(2)}, {"demand": np.ones(3)}
    agreement = Agreement(["a"], *agreed, ["F_PU3"], {"a": "0f"})
    return Snapshot(
        line=RoundLine("cwa", server_round, seconds=1.5),
        server_steps=7,
        state=State(line(1.0), line(2.0), {"m": np.ones(1)}),
        norms=[0.5, float("inf")],
        guard={"trusted": True, "strikes": 1},
        held={"a": {"mean": "0f"}},
        bases={"0f": np.zeros(2)},
        agreement=agreement,
    )


def test_a_snapshot_comes_back_from_its_file_as_it_was(results):
    SaveCheckpoints(results, {"rounds": 3}).on_snapshot(snapshot(4))

    stored = results.checkpoints.latest()
    again = Snapshot.read(stored.arrays, stored.notes)

    assert (stored.strategy, stored.round) == (again.strategy, again.round) == ("cwa", 4)
    assert again.notes() == snapshot(4).notes()
    assert again.line.seconds == 1.5
    arrays = again.arrays()
    assert list(arrays) == list(snapshot(4).arrays())
    assert all(np.array_equal(arrays[key], a) for key, a in snapshot(4).arrays().items())


def test_a_snapshot_written_before_unread_features_were_kept_has_none():
    notes = snapshot(4).notes()
    del notes["unread"]

    assert list(Snapshot.read(snapshot(4).arrays(), notes).agreement.unread) == []


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_run_goes_on(results, caplog):
    (results.path / "checkpoints").write_text("a file where the folder would be")

    SaveCheckpoints(results, {}).on_snapshot(snapshot(2))

    (event,) = map(json.loads, (results.path / "events.jsonl").read_text().splitlines())
    assert (event["event"], event["strategy"], event["round"]) == ("no-checkpoint", "cwa", 2)
    assert "no checkpoint of round 2" in caplog.text


def test_a_line_is_recorded_and_handed_on_as_it_is(results):
    told = RoundLine("cwa", 1, loss=0.25)

    assert Record(results, 3, scored=True).on_round_end(told, line(0.0), NOTHING) is told
    assert [entry.loss for entry in read_lines(results.path / "metrics.jsonl")] == [0.25]


def test_updates_asked_for_are_on_disk_before_they_are_given(results):
    privacy = Privacy(PrivacyLedger(PrivacySettings()), results)

    privacy.on_tasks("cwa", ["a", "b"])
    privacy.on_tasks("cwa", ["a"])

    assert results.privacy_releases() == {"cwa": {"a": 2, "b": 1}}
