import json
import math
from dataclasses import asdict, replace

import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.results.lines import RoundLine, read_entries, read_lines, summarise
from tests.support.figures import figures, line_of


def test_a_line_survives_json_but_for_its_wall_time():
    line = line_of("cwa", 3, 0.75, refused=1)

    assert RoundLine.from_json(line.to_json()) == replace(line, seconds=0.0)


def test_lines_of_rounds_that_took_different_times_have_the_same_bytes():
    line = line_of("cwa", 3, 0.75)

    assert replace(line, seconds=9.5).to_json() == line.to_json()
    assert replace(line, seconds=9.5).timing_json() != line.timing_json()


def test_a_line_is_one_flat_object():
    flat = json.loads(line_of("cwa", 3, 0.75).to_json())

    assert (flat["strategy"], flat["round"], flat["balanced_accuracy"]) == ("cwa", 3, 0.75)
    assert not any(isinstance(value, dict | list) for value in flat.values())
    assert "\n" not in line_of("cwa", 3, 0.75).to_json()


def test_what_is_undefined_is_null_in_json_and_not_a_number_afterwards():
    line = replace(line_of("fpf", 0, None), metrics=figures(math.nan, auc_pr=math.inf))

    text = line.to_json()
    back = RoundLine.from_json(text)

    assert json.loads(text)["loss"] is None
    assert json.loads(text)["auc_pr"] is None
    assert math.isnan(back.loss)
    assert math.isnan(back.metrics.balanced_accuracy)


def test_a_line_without_an_evaluation_has_no_figures():
    line = line_of("fedavg", 2, None)

    assert "auc_pr" not in json.loads(line.to_json())
    assert RoundLine.from_json(line.to_json()).metrics is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[1, 2]",
        "3",
        "{}",
        '{"strategy": "cwa"}',
        '{"strategy": "cwa", "round": 1, "mood": "good"}',
        '{"strategy": "cwa", "round": 1, "auc_pr": 0.5}',
    ],
)
def test_what_is_no_line_is_refused(text):
    with pytest.raises(DataError, match=r"not a line of metrics\.jsonl"):
        RoundLine.from_json(text)


def test_a_file_is_read_line_by_line_with_the_times_beside_it(tmp_path):
    """The time of a line that was never written, as a kill leaves it, belongs to none."""
    lines = [line_of("fedavg", 1, 0.6), line_of("cwa", 1, 0.7, seconds=2.5)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n\n".join(line.to_json() for line in lines) + "\n")
    timings = [lines[1], lines[0], line_of("cwa", 2, 0.8)]
    (tmp_path / "timings.jsonl").write_text("\n".join(line.timing_json() for line in timings))

    assert read_lines(path) == lines
    assert [entry["seconds"] for entry in read_entries(path)] == [0.5, 2.5]


def test_a_line_from_before_times_stood_apart_is_read(tmp_path):
    line = line_of("cwa", 1, 0.7)
    old = {**json.loads(line.to_json()), "seconds": 0.5}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(old))

    assert read_lines(tmp_path / "metrics.jsonl") == [line]


def test_a_time_that_is_missing_is_undefined_and_so_are_the_sums_with_it(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(line_of("cwa", 1, 0.9).to_json())

    lines = read_lines(tmp_path / "metrics.jsonl")
    plain = summarise(lines, target=0.8)[0].to_mapping()

    assert math.isnan(lines[0].seconds)
    assert (plain["seconds"], plain["seconds_to_target"], plain["megabytes_up"]) == (None, None, 3)


def test_a_damaged_file_of_times_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(line_of("cwa", 1, 0.9).to_json())
    (tmp_path / "timings.jsonl").write_text('{"strategy": "cwa", "round": 1}')

    with pytest.raises(DataError, match=r"not a line of timings\.jsonl \('seconds'\)"):
        read_lines(tmp_path / "metrics.jsonl")


def test_the_cost_of_the_target_is_all_that_was_spent_up_to_it():
    """0.8 is reached in round 2: two rounds of 3 + 2 MB, 10 steps, 4 steps, 0.5 s, and the start.

    The third round counts for the whole run alone.
    """
    lines = [line_of("cwa", n, a) for n, a in enumerate((0.5, 0.7, 0.8, 0.75))]

    (summary,) = summarise(lines, target=0.8)

    assert (summary.strategy, summary.rounds, summary.rounds_to_target) == ("cwa", 3, 2)
    assert summary.megabytes_to_target == pytest.approx(10.0)
    assert (summary.site_steps_to_target, summary.server_steps_to_target) == (20, 108)
    assert summary.seconds_to_target == pytest.approx(1.0)
    assert (summary.megabytes_up, summary.megabytes_down) == pytest.approx((9.0, 6.0))
    assert summary.seconds == pytest.approx(1.5)
    assert summary.final.balanced_accuracy == 0.75


def test_a_target_reached_by_the_first_model_costs_only_what_made_it():
    """A warm start: no round, no bytes, the twin's 100 steps."""
    lines = [line_of("fedavg", n, a) for n, a in enumerate((0.9, 0.9))]

    (summary,) = summarise(lines, target=0.8)

    assert (summary.rounds_to_target, summary.megabytes_to_target) == (0, 0.0)
    assert (summary.site_steps_to_target, summary.server_steps_to_target) == (0, 100)


@pytest.mark.parametrize("accuracies", [(0.5, 0.6), (None, None), (math.nan, math.nan)])
def test_a_target_that_is_never_reached_has_no_cost(accuracies):
    lines = [line_of("fedavg", n, a) for n, a in enumerate(accuracies)]

    (summary,) = summarise(lines, target=0.8)

    to_target = {k: v for k, v in asdict(summary).items() if k.endswith("_to_target")}
    assert len(to_target) == 5
    assert set(to_target.values()) == {None}
    assert summary.megabytes_up == pytest.approx(3.0)


def test_strategies_are_told_apart_and_keep_their_order():
    lines = [
        line_of("lpe", 0, 0.5),
        line_of("cwa", 0, 0.9),
        line_of("lpe", 1, 0.6, refused=2),
        line_of("lpe", 2, 0.6, refused=1),
    ]

    summaries = summarise(lines, target=0.8)

    assert [(s.strategy, s.rounds, s.refused) for s in summaries] == [("lpe", 2, 3), ("cwa", 0, 0)]


def test_a_summary_is_plain_json():
    lines = [replace(line_of("fedavg", 1, 0.5), metrics=figures(0.5, hours_to_detection=math.nan))]

    plain = summarise(lines, target=0.8)[0].to_mapping()

    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["final"]["hours_to_detection"] is None
    assert json.loads(text)["final"]["events"] == 7


def test_a_summary_without_an_evaluation_has_no_figures():
    assert summarise([line_of("fedavg", 1, None)], target=0.8)[0].to_mapping()["final"] == {}


def test_no_lines_give_no_summary():
    assert summarise([], target=0.8) == []
