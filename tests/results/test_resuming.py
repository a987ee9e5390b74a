"""A run that was interrupted, taken up from its checkpoint."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.core.errors import CheckpointError, ConfigError
from dtfl_app.results.checkpoint import Checkpoint, require_same_run
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.resuming import describe_unfinished, find_checkpoint, run_folder
from dtfl_app.results.run_directory import RunDirectory
from tests.support.figures import figures, line_of

SETTINGS = {"seed": 0, "strategy": "fedavg,cwa", "rounds": 3, "results-dir": "/results"}


def save(run: RunDirectory, strategy: str, number: int) -> None:
    run.checkpoints.write(
        Checkpoint(
            strategy, number, SETTINGS, {"w": np.ones(3)}, {}, run.history, run.timings, run.run
        )
    )


def play(run: RunDirectory, strategy: str, rounds: range, *, end: bool = True) -> None:
    """Play rounds as a server does: the model before a round is judged and recorded in it."""
    for number in rounds:
        run.record(line_of(strategy, number - 1, 0.5 + number / 100))
        save(run, strategy, number)
    if end:
        run.record(line_of(strategy, rounds[-1], 0.9))
        run.save_calibration(strategy, [{"site": "a", "wanted": 0.01, "observed": 0.02}])
        run.save_groups(strategy, {"held-out": figures(0.9, roc_auc=math.nan)})


@pytest.fixture
def whole(tmp_path) -> RunDirectory:
    """Two strategies with three rounds each."""
    run = RunDirectory(tmp_path / "whole", SETTINGS, target=0.8)
    play(run, "fedavg", range(1, 4))
    play(run, "cwa", range(1, 4))
    run.finish("a plant")
    return run


@pytest.fixture
def cut(tmp_path) -> RunDirectory:
    """The same, broken off after a line and a half beyond the checkpoint of cwa's second round."""
    run = RunDirectory(tmp_path / "cut", SETTINGS, target=0.8)
    play(run, "fedavg", range(1, 4))
    play(run, "cwa", range(1, 3), end=False)
    run.record(line_of("cwa", 2, 0.53))
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"strategy": "cwa", "rou')
    return run


def take_up(folder, **settings) -> RunDirectory:
    path, found = find_checkpoint(folder)
    return RunDirectory.restore(path, {**SETTINGS, **settings}, 0.8, found.history, found.timings)


def events(run: RunDirectory) -> list[dict]:
    return [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]


def test_a_run_taken_up_ends_with_the_files_of_one_that_was_never_broken_off(whole, cut):
    run = take_up(cut.path)
    assert [line.round for line in read_lines(run.path / "metrics.jsonl")] == [0, 1, 2, 3, 0, 1]

    play(run, "cwa", range(3, 4))
    summaries = run.finish("a plant")

    names = ("metrics.jsonl", "timings.jsonl", "calibration.json", "groups.json", "summary.json")
    for name in names:
        assert (run.path / name).read_text() == (whole.path / name).read_text(), name
    assert [set(s.groups) for s in summaries] == [{"held-out"}] * 2
    assert [c.name for c in sorted(run.checkpoints.path.iterdir())] == [
        "0005-cwa-000002.safetensors", "0006-cwa-000003.safetensors",
    ]  # fmt: skip


def test_it_keeps_its_identity_and_its_config(cut):
    before = (cut.path / "config.json").read_bytes()

    run = take_up(cut.path, **{"results-dir": "/elsewhere"})

    assert run.run == cut.run
    assert (run.path / "config.json").read_bytes() == before


def test_taking_up_is_noted_with_where(cut):
    run = take_up(cut.path)
    take_up(cut.path)

    assert events(run) == [{"event": "resumed", "strategy": "cwa", "round": 2}] * 2


def test_half_an_event_that_a_full_disk_left_is_dropped(cut):
    (cut.path / "events.jsonl").write_text('{"event": "late"}\n{"event": "la')

    assert [event["event"] for event in events(take_up(cut.path))] == ["late", "resumed"]


def test_versions_that_changed_since_are_named(cut):
    """Other versions may round differently."""
    about = json.loads((cut.path / "config.json").read_text())
    now, about["versions"]["torch"] = about["versions"]["torch"], "1.0"
    (cut.path / "config.json").write_text(json.dumps(about))

    (event,) = events(take_up(cut.path))

    assert event["reason"] == f"results may differ: torch 1.0 -> {now}"


def test_an_older_checkpoint_takes_the_run_back_there(whole):
    """From cwa's second round: its last is played again, and nothing stands twice."""
    older = whole.path / "checkpoints" / "0005-cwa-000002.safetensors"
    before = {name: (whole.path / name).read_text() for name in ("metrics.jsonl", "groups.json")}

    run = take_up(older)

    assert not (run.path / "summary.json").exists()
    assert [path.name for path in run.checkpoints.path.iterdir()] == [older.name]
    play(run, "cwa", range(3, 4))
    assert {name: (run.path / name).read_text() for name in before} == before
    assert len(json.loads((run.path / "calibration.json").read_text())) == 2


def test_what_a_strategy_after_the_checkpoint_left_is_forgotten(tmp_path):
    run = RunDirectory(tmp_path / "run", SETTINGS, target=0.8)
    play(run, "fedavg", range(1, 3))
    run.save_calibration("cwa", [{"site": "a", "wanted": 0.01, "observed": 0.5}])

    again = take_up(run.path)
    again.save_calibration("fedavg", [{"site": "a", "wanted": 0.01, "observed": 0.04}])

    stored = json.loads((run.path / "calibration.json").read_text())
    assert [(entry["strategy"], entry["observed"]) for entry in stored] == [("fedavg", 0.04)]


def test_settings_of_another_run_are_refused_and_nothing_is_touched(cut):
    before = (cut.path / "metrics.jsonl").read_bytes()

    with pytest.raises(CheckpointError, match=r"rounds is 3 there, 2 now; seed is 0 there, 1 now"):
        take_up(cut.path, rounds=2, seed=1)

    assert (cut.path / "metrics.jsonl").read_bytes() == before
    assert not (cut.path / "events.jsonl").exists()


def test_more_rounds_are_noted_and_are_the_runs_own_from_then_on(cut):
    run = take_up(cut.path, rounds=5)

    assert json.loads((run.path / "config.json").read_text())["settings"]["rounds"] == 5
    assert events(run)[-1]["reason"] == "rounds 3 -> 5"
    with pytest.raises(CheckpointError, match="rounds is 5 there, 3 now"):
        take_up(cut.path)


def test_more_rounds_are_refused_where_an_earlier_method_has_no_checkpoint_left(cut):
    _, found = find_checkpoint(cut.path)

    with pytest.raises(CheckpointError, match="rounds is 3 in the checkpoint, 5 now: fedavg ended"):
        require_same_run(found, {**SETTINGS, "rounds": 5})


def test_more_rounds_are_refused_to_a_method_that_may_plan_by_them(cut):
    _, found = find_checkpoint(cut.path)
    own = replace(found, history=[], settings={**SETTINGS, "strategy": "mine:Mine"})

    with pytest.raises(CheckpointError, match="mine:Mine is a method of your own"):
        require_same_run(own, {**own.settings, "rounds": 5})


@pytest.mark.parametrize(
    ("checkpoints", "way_on"), [(True, "dtfl run resume="), (False, "start it anew")]
)
def test_how_far_an_unfinished_run_has_got_is_said(cut, checkpoints, way_on):
    with (cut.path / "metrics.jsonl").open("r+") as file:
        file.truncate(len(file.read()) - len('{"strategy": "cwa", "rou'))
    if not checkpoints:
        shutil.rmtree(cut.path / "checkpoints")

    told = describe_unfinished(cut.path)

    assert "not finished; cwa (method 2 of 2) has recorded round 2 of 3" in told
    assert way_on in told


def test_a_damaged_checkpoint_names_the_one_to_go_on_from(cut):
    """It is not taken silently; named, it is, and what stands after it goes."""
    (cut.path / "checkpoints" / "0005-cwa-000002.safetensors").write_bytes(b"damaged")
    before = cut.path / "checkpoints" / "0004-cwa-000001.safetensors"

    with pytest.raises(CheckpointError, match=f"resume={before}"):
        find_checkpoint(cut.path)
    run = take_up(before)

    assert [line.round for line in read_lines(run.path / "metrics.jsonl")] == [0, 1, 2, 3, 0]
    assert [path.name for path in run.checkpoints.path.iterdir()] == [before.name]


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"not the folder of a run \(it holds no config"):
        find_checkpoint(tmp_path)


def test_a_checkpoint_outside_of_a_run_is_refused(cut, tmp_path):
    """Its run's finished strategies lie in the run's folder, not in the checkpoint."""
    source = cut.path / "checkpoints" / "0005-cwa-000002.safetensors"
    copy = shutil.copy(source, tmp_path / "copy.safetensors")

    with pytest.raises(CheckpointError, match="a file in its checkpoints/"):
        find_checkpoint(copy)
    assert run_folder(source) == cut.path


def test_a_run_without_checkpoints_is_refused(tmp_path):
    run = RunDirectory(tmp_path / "run", SETTINGS, target=0.8)

    with pytest.raises(CheckpointError, match="checkpoint-every says how often"):
        find_checkpoint(run.path)


def test_a_config_from_before_runs_had_identities_is_refused(cut):
    (cut.path / "config.json").write_text(json.dumps({"settings": SETTINGS}))

    with pytest.raises(CheckpointError, match=r"config\.json of a run that can be taken up"):
        take_up(cut.path)


def test_a_folder_that_takes_no_files_any_more_is_one_clear_error(cut):
    (cut.path / "events.jsonl").mkdir()

    with pytest.raises(ConfigError, match="the run cannot go on there"):
        take_up(cut.path)


def test_a_lines_history_is_what_was_recorded(cut):
    """What a checkpoint holds of the history makes the lines again; a start takes no time."""
    _, found = find_checkpoint(cut.path)

    assert [RoundLine.from_json(line).round for line in found.history] == [0, 1, 2, 3, 0, 1]
    assert [json.loads(line)["seconds"] for line in found.timings] == [0.0, 0.5, 0.5, 0.5, 0.0, 0.5]
