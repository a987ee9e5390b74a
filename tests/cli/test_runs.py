"""What the command line does about runs without starting one."""

import json
import re

import pytest
from rich.console import Console

from dtfl_app.cli.run import _complete
from dtfl_app.cli.runs import resumed_sites
from dtfl_app.core.errors import CheckpointError, ConfigError
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.results.run_events import RunEvent
from dtfl_app.results.show import show_run
from tests.support.broken_off import SETTINGS, invoke, write_broken_off
from tests.support.run_folder import ACCOUNT, make_run


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return write_broken_off(tmp_path / "results" / "cut")


@pytest.mark.parametrize("word", ["path", "name", "checkpoint"])
def test_a_run_is_taken_up_with_its_own_settings(run, word, monkeypatch):
    """From its folder, by its name under results-dir, or from a checkpoint."""
    monkeypatch.chdir(run.path.parent.parent)
    checkpoint = run.checkpoints.path / "0001-cwa-000005.safetensors"
    resume = {"path": str(run.path), "name": "cut", "checkpoint": str(checkpoint)}[word]

    full = _complete({"resume": resume})

    places = {"results-dir": str(run.path.parent), "run-name": "cut"}
    where = str(checkpoint if word == "checkpoint" else run.path)
    assert full == {**SETTINGS, **places, "resume": where}


def test_what_shapes_no_result_may_be_chosen_anew(run):
    full = _complete({"resume": str(run.path), "cache-dir": "other", "round.timeout": 5})

    assert full["cache-dir"].endswith("/other")
    assert full["round.timeout"] == 5
    assert full["plants.days"] == 9


def test_a_setting_that_contradicts_the_run_is_refused(run):
    with pytest.raises(CheckpointError, match=r"plants\.days is 9 in the checkpoint, 28 now"):
        _complete({"resume": str(run.path), "plants.days": 28})


def test_the_same_number_written_otherwise_is_no_contradiction(run):
    """target is 0.8; train.lr = 0.5; 10 is 10.0."""
    told = {"resume": str(run.path), "data.clip": 10, "train.lr": 0.5}

    assert _complete(told)["data.clip"] == 10


def test_a_finished_run_is_not_taken_up_but_its_end_can_be_repeated(run):
    run.finish("a plant")

    with pytest.raises(ConfigError, match="cut is a finished run"):
        _complete({"resume": str(run.path)})
    assert _complete({"resume": str(run.checkpoints.path / "0001-cwa-000005.safetensors")})


def test_a_word_that_names_no_run_is_one_clear_line():
    code, _, err = invoke("run", "resume=nowhere")

    assert code == 2
    assert re.fullmatch(r"error: resume: \S+/nowhere is not the folder of a run .*\n", err)


def test_a_run_has_as_many_sites_as_took_part_where_none_were_set(run):
    """`flwr run` leaves sites = 0: one per SuperNode; two of them answered."""
    assert (resumed_sites(run.path, 0), resumed_sites(run.path, 7)) == (2, 7)


def test_a_name_that_is_taken_is_refused_before_anything_starts(run):
    before = sorted(run.path.rglob("*"))

    code, _, err = invoke("run", f"results-dir={run.path.parent}", "run-name=cut")

    assert code == 2
    assert f"{run.path} already holds a run; choose another run-name, go on with it" in err
    assert sorted(run.path.rglob("*")) == before


def test_a_place_that_takes_no_files_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "file").write_text("where a folder should be")

    code, _, err = invoke("run", f"results-dir={tmp_path / 'file'}", "run-name=new")

    assert code == 2
    assert "new: results cannot be written there" in err


def test_checkpoints_are_listed_and_the_command_to_go_on_is_told(run):
    code, out, _ = invoke("checkpoints", str(run.path))

    assert code == 0
    last = run.checkpoints.path / "0002-cwa-000010.safetensors"
    assert re.search(r"0001-cwa-000005\.safetensors\W+cwa\W+5\W+[\d.]+\W+good", out)
    assert f"go on: dtfl run resume={last}\n" in out


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_offered(run):
    last = run.checkpoints.path / "0002-cwa-000010.safetensors"
    last.write_bytes(last.read_bytes()[:-1])

    code, out, _ = invoke("checkpoints", str(run.path))

    assert code == 1
    assert re.search(r"0002-cwa-000010\.safetensors\W+cwa\W+10\W+[\d.]+\W+cut short \(", out)
    assert "go on: dtfl run resume=" in out
    assert out.rstrip().endswith("0001-cwa-000005.safetensors")


def test_a_run_without_checkpoints_lists_none(tmp_path):
    RunDirectory(tmp_path / "run", SETTINGS, target=0.8)

    assert invoke("checkpoints", str(tmp_path / "run")) == (0, "no checkpoints\n", "")


def test_two_runs_are_told_to_be_the_same(tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")

    code, out, _ = invoke("compare", str(one), str(two))

    assert code == 0
    assert out == (
        "the same, byte for byte: 6 lines of metrics.jsonl, 0 tensors of models, 3 other files\n"
    )


def test_two_runs_that_differ_are_told_apart_with_their_settings(tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", seed=1)
    (two / "quality.json").write_text("{}")

    code, out, _ = invoke("compare", str(one), str(two))

    assert code == 1
    assert out.splitlines() == [
        "not the same; compared: 6 lines of metrics.jsonl, 0 tensors of models, 3 other files",
        "settings: seed is 0 in the first, 1 in the second",
        "quality.json: differs from line 1 on",
    ]


def test_what_is_no_run_cannot_be_compared(tmp_path):
    code, _, err = invoke("compare", str(tmp_path), str(tmp_path))

    assert code == 2
    assert "not the folder of a run" in err


def test_showing_a_run_tells_what_happened_and_what_privacy_has_cost(tmp_path):
    path = make_run(tmp_path / "run")
    events = [RunEvent("late", "cwa", 1, "a"), RunEvent("refused", "cwa", 1, "b"), RunEvent("late")]
    (path / "events.jsonl").write_text("".join(event.to_json() + "\n" for event in events))
    (path / "privacy.json").write_text(json.dumps(ACCOUNT))
    console = Console(record=True, width=200)

    show_run(path, console)

    text = console.export_text()
    assert "in the rounds: late 2, refused 1 (events.jsonl)" in text
    assert "epsilon at delta 1e-05, largest over the sites: cwa 4.5" in text


def shown(path, width=400) -> str:
    console = Console(record=True, width=width)
    show_run(path, console)
    return console.export_text()


def test_a_run_whose_promise_is_broken_says_so_in_its_last_line(tmp_path):
    path = make_run(tmp_path / "run")
    kept = {"strategy": "fedavg", "site": "a", "wanted": 0.005, "observed": 0.01}
    rates = [kept, {**kept, "strategy": "cwa", "observed": 1.0}]
    text = json.dumps([{**rate, "normal_steps": 400} for rate in rates])
    (path / "calibration.json").write_text(text)

    lines = shown(path).splitlines()

    assert any("false alarms (0.5% wanted)" in line for line in lines)
    assert any("1.00%" in line for line in lines)
    assert lines[-1] == (
        "cwa: the promised false-alarm rate is broken by more than a factor of 10: 100.00% of 400 "
        "settled normal steps had an alarm, 0.5% were wanted; most of its alarms may be false"
    )


def test_a_run_without_stored_rates_has_a_dash_for_its_false_alarms(tmp_path):
    text = shown(make_run(tmp_path / "run"))

    assert "false alarms (0.5% wanted)" in text
    assert "promised" not in text


def test_a_method_is_one_line_on_a_terminal_of_80_columns(tmp_path):
    path = make_run(tmp_path / "run")
    rate = {"strategy": "fedavg", "site": "a", "wanted": 0.005, "observed": 0.0125}
    (path / "calibration.json").write_text(json.dumps([{**rate, "normal_steps": 400}]))

    lines = shown(path, width=80).splitlines()

    (row,) = (line for line in lines if "fedavg" in line and "│" in line)
    assert "not in 2" in row
    assert "1.25%" in row
    assert all(len(line) <= 80 for line in lines)


def test_batadal_s_score_is_shown_of_its_plant_alone(tmp_path):
    plants, files = make_run(tmp_path / "a"), make_run(tmp_path / "b", dataset="files")

    assert " S " in shown(plants)
    assert " S " not in shown(files)


def test_an_unfinished_run_is_shown_by_how_far_it_is(tmp_path):
    code, _, err = invoke("show", str(make_run(tmp_path / "run", finished=False)))

    assert code == 2
    assert "not finished; cwa (method 2 of 2) has recorded round 2 of 2" in err
    assert "Errno" not in err
