import json

import pandas as pd
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.report.reading import read_run, stored_files
from dtfl_app.results.run_events import RunEvent
from tests.support.run_folder import ACCOUNT, make_run


def test_a_finished_run_gives_the_numbers_as_stored(tmp_path):
    path = make_run(tmp_path / "first")

    run = read_run(path)

    assert run.name == "first"
    assert run.finished
    assert run.summaries == json.loads((path / "summary.json").read_text())
    assert run.strategies == ["fedavg", "cwa"]
    assert [line.round for line in run.lines] == [0, 1, 2, 0, 1, 2]
    assert run.target == 0.8
    assert len(run.alarms["cwa"]) == 20
    assert run.quality["plant-02"]["L_T1"]["removed"] == 0.125
    assert run.calibration == []
    assert run.twin_distance is None


def test_an_unfinished_run_is_summed_up_from_its_lines(tmp_path):
    """5 MB a round, nothing for the start: CWA is at the target after one round."""
    run = read_run(make_run(tmp_path / "first", finished=False))

    assert not run.finished
    assert [s["rounds_to_target"] for s in run.summaries] == [None, 1]
    assert run.summaries[1]["megabytes_to_target"] == 5.0


def test_a_run_that_has_only_begun_has_no_lines(tmp_path):
    (tmp_path / "config.json").write_text('{"settings": {"target": 0.8}}')

    run = read_run(tmp_path)

    assert (run.lines, run.summaries, run.alarms, run.finished) == ([], [], {}, False)


def test_a_folder_that_is_no_run_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match=r"not the folder of a run \(it holds no config.json\)"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"settings": {}}'),
        ("config.json", "{"),
        ("metrics.jsonl", '{"strategy": "cwa", "rond": 1}\n'),
        ("summary.json", '[{"strategy": "cwa"}]'),
        ("quality.json", "no JSON"),
        ("events.jsonl", '{"event": "late"}\n{"event": "la'),
        ("privacy.json", '{"epsilon": {"cwa": {"site-01": "much"}}}'),
        ("calibration.json", '[{"strategy": "cwa", "site": "a"}]'),
        ("twin_distance.csv", "channel,ks\nL_T1,0.1\n"),
        ("alarms/cwa.csv", "time,score\n2024-01-01,1\n"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    path = make_run(tmp_path / "first")
    (path / name).write_text(content)

    with pytest.raises(DataError, match=rf"{name}: cannot be read as a file of a run"):
        read_run(path)


def test_damaged_wall_times_are_named(tmp_path):
    path = make_run(tmp_path / "first")
    (path / "timings.jsonl").write_text('{"strategy": "cwa", "round": 1}')

    with pytest.raises(DataError, match=r"not a line of timings\.jsonl"):
        read_run(path)


def test_events_and_the_privacy_account_are_read_where_they_are_stored(tmp_path):
    path = make_run(tmp_path / "first")
    assert (read_run(path).events, read_run(path).privacy) == ([], None)
    (path / "events.jsonl").write_text('{"event": "late", "round": 2, "site": "a", "wait_s": 1.5}')
    (path / "privacy.json").write_text(json.dumps(ACCOUNT))

    run = read_run(path)

    assert run.events == [RunEvent("late", round=2, site="a", figures={"wait_s": 1.5})]
    assert run.privacy.worst() == {"cwa": ("b", 4.5)}
    assert run.privacy.worst_together() == ("b", 6.0)


def test_calibration_per_site_is_read_where_it_is_stored(tmp_path):
    path = make_run(tmp_path / "first")
    entries = [
        {"strategy": "cwa", "site": "a", "wanted": 0.01, "observed": 0.03, "normal_steps": 500,
         "drift": "L_T1 rose"},
        {"strategy": "cwa", "site": "b", "wanted": 0.01, "observed": None, "normal_steps": 0},
    ]  # fmt: skip
    (path / "calibration.json").write_text(json.dumps(entries))

    first, second = read_run(path).calibration

    assert (first.observed, first.normal_steps, first.drift) == (0.03, 500, "L_T1 rose")
    assert second.observed != second.observed
    assert second.drift == ""


def test_the_table_of_twin_compare_is_read(tmp_path):
    path = make_run(tmp_path / "first")
    row = {"channel": "L_T1", "kind": "level", "unit": "m", "twin_mean": 2.0, "plant_mean": 2.5,
           "twin_sd": 1.0, "plant_sd": 1.1, "ks": 0.25}  # fmt: skip
    pd.DataFrame([row]).to_csv(path / "twin_distance.csv", index=False)

    assert read_run(path).twin_distance["ks"].tolist() == [0.25]


def test_files_are_listed_with_their_digests_but_for_pages_and_hidden_ones(tmp_path):
    """SHA-256 of "abc" from FIPS 180-2, appendix B.1."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.bin").write_bytes(b"abc")
    (tmp_path / "report.html").write_text("a page")
    (tmp_path / ".a.bin.17").write_text("half a file")

    (file,) = stored_files(tmp_path)

    assert (file.name, file.size) == ("models/a.bin", 3)
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
