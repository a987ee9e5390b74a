import json

import pytest

from dtfl_app.report.event_outcomes import event_outcomes
from dtfl_app.report.reading import read_run
from dtfl_app.report.words import (
    best_summary,
    describe_alarms,
    describe_shortfalls,
    describe_target,
    headline,
)
from tests.support.figures import line_of
from tests.support.run_folder import make_run


@pytest.fixture
def run(tmp_path):
    return read_run(make_run(tmp_path / "first"))


def test_the_headline_says_what_was_run(run):
    assert headline(run) == ("2 methods on 3 sites of data set plants, 2 rounds, twin auto, seed 0")


def test_who_reached_the_target_comes_first_with_its_cost(run):
    """A round costs 5 MB; CWA is there after one."""
    assert describe_target(run) == [
        "cwa reached balanced accuracy 0.8 after 1 round and 5.00 MB.",
        "fedavg did not reach 0.8 in 2 rounds; it ended at 0.600.",
    ]


def test_a_warm_start_is_there_before_the_first_round(tmp_path):
    path = make_run(tmp_path / "first", finished=False)
    (path / "metrics.jsonl").write_text(line_of("cwa", 0, 0.9).to_json())

    (sentence,) = describe_target(read_run(path))

    assert sentence == "cwa reached balanced accuracy 0.8 before the first round and 0.00 MB."


def test_the_best_models_alarms_are_told_with_what_they_missed(run):
    """Made-up figures: 5 of 7 events in 3.25 h, 1% false alarms; the alarms miss the theft."""
    outcomes = {name: event_outcomes(table) for name, table in run.alarms.items()}

    assert describe_alarms(run, outcomes) == [
        "The best last model is that of cwa: balanced accuracy 0.900; its alarms found 5 of "
        "7 events, 3.2 hours after they begin on average.",
        "1% of the normal time steps had an alarm; 0.5% were wanted.",
        "It missed theft.",
    ]


def test_a_run_without_an_evaluation_has_no_best_model(tmp_path):
    path = make_run(tmp_path / "first", finished=False)
    (path / "metrics.jsonl").write_text(line_of("cwa", 1, None).to_json())
    run = read_run(path)

    assert best_summary(run.summaries) is None
    assert describe_alarms(run, {}) == [
        "No model was judged: there was no labelled evaluation set."
    ]
    assert describe_target(run) == ["cwa did not reach 0.8 in 1 round."]


def test_exactly_twice_the_wanted_false_alarms_are_no_shortfall(run):
    """Made-up figures have 1% where 0.5% is wanted."""
    assert describe_shortfalls(run) == ["Readings were set to missing at plant-02."]


def test_every_shortfall_is_told(tmp_path):
    path = make_run(tmp_path / "first", **{"detector.false-alarm-rate": 0.001})
    summaries = json.loads((path / "summary.json").read_text())
    summaries[0]["refused"] = 1
    (path / "summary.json").write_text(json.dumps(summaries))
    entry = {"strategy": "cwa", "site": "b", "wanted": 0.1, "observed": 0.5, "normal_steps": 9}
    (path / "calibration.json").write_text(json.dumps([{**entry, "drift": "L_T1 rose"}]))

    assert describe_shortfalls(read_run(path)) == [
        "False alarms are more than twice the wanted 0.1%: fedavg 1%, cwa 1%.",
        "1 reply of fedavg refused.",
        "Calibration does not hold everywhere: cwa at b: L_T1 rose.",
        "Readings were set to missing at plant-02.",
    ]


def test_a_promise_broken_by_a_factor_of_ten_is_a_shortfall(tmp_path):
    path = make_run(tmp_path / "first")
    entry = {"strategy": "cwa", "site": "b", "wanted": 0.005, "observed": 1.0, "normal_steps": 90}
    (path / "calibration.json").write_text(json.dumps([entry]))

    (told, *_) = describe_shortfalls(read_run(path))

    assert told.startswith("cwa: the promised false-alarm rate is broken by more than a factor")
    assert "100.00% of 90 settled normal steps had an alarm, 0.5% were wanted" in told


def test_an_unfinished_run_says_so_first(tmp_path):
    run = read_run(make_run(tmp_path / "first", finished=False))

    assert describe_shortfalls(run)[0] == (
        "The run did not finish (there is no summary.json); it had written 6 lines of 2 methods."
    )
