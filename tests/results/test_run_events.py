import json
import math

import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.results.run_events import RunEvent, read_events


def test_an_event_survives_json():
    event = RunEvent("late", "cwa", 3, "site-01", "came 2 s late", {"seconds": 2.0})

    assert RunEvent.from_json(event.to_json()) == event
    assert RunEvent.from_json(RunEvent("away").to_json()) == RunEvent("away")


def test_figures_that_are_undefined_are_null_in_json_and_not_a_number_afterwards():
    text = RunEvent("refused", figures={"norm": math.inf}).to_json()

    assert json.loads(text)["norm"] is None
    assert math.isnan(RunEvent.from_json(text).figures["norm"])


@pytest.mark.parametrize("text", ["", "3", "{}", '{"event": "late", "round": "x"}', '{"event":'])
def test_what_is_no_event_is_refused(text):
    with pytest.raises(DataError, match=r"not a line of events\.jsonl"):
        RunEvent.from_json(text)


def test_a_run_in_which_nothing_happened_has_no_events(tmp_path):
    assert read_events(tmp_path / "events.jsonl") == []


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (RunEvent("refused", "cwa", 3, "north", "late"), "cwa round 3: north refused: late"),
        (RunEvent("late", "cwa", 3, "north", "merged", {"weight": 0.5}),
         "cwa round 3: north late: merged; weight 0.5"),
        (RunEvent("resumed"), "resumed"),
    ],
)  # fmt: skip
def test_a_person_reads_a_sentence(event, sentence):
    assert event.describe() == sentence
