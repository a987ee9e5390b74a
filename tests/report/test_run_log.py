import json
import re

from dtfl_app.report.reading import read_run
from dtfl_app.report.run_log import log_blocks, privacy_blocks
from dtfl_app.results.run_events import RunEvent
from tests.report.test_run_page import page_of
from tests.support.run_folder import ACCOUNT, make_run

EVENTS = [
    RunEvent("late", "cwa", 1, "plant-02", "came 3 s after the round closed", {"seconds": 3.0}),
    RunEvent("refused", "cwa", 1, "plant-03", "loss is nan"),
    RunEvent("refused", "cwa", 2, "plant-01", "loss is nan"),
    RunEvent("refused", "cwa", 3, "plant-03", "replayed"),
    RunEvent("refused", "lpe", 1, "plant-03", "replayed"),
]


def texts(table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_events_are_counted_by_kind_and_strategy_with_their_sites():
    counts, details = log_blocks(EVENTS)

    assert texts(counts) == [
        ["refused", "cwa", "3", "plant-03 2, plant-01 1"],
        ["late", "cwa", "1", "plant-02 1"],
        ["refused", "lpe", "1", "plant-03 1"],
    ]
    assert details.title == "All events"


def test_the_last_events_are_listed_with_their_reasons():
    events = [RunEvent("late", "cwa", number) for number in range(60)] + EVENTS

    _, details = log_blocks(events)

    (listing,) = details.blocks
    rows = texts(listing)
    assert (details.title, len(rows)) == ("The last 50 events", 50)
    assert rows[0][:3] == ["cwa", "15", "late"]
    assert rows[-5] == [
        "cwa", "1", "late", "plant-02", "came 3 s after the round closed", "seconds 3",
    ]  # fmt: skip


def test_a_run_that_was_taken_up_says_that_rounds_count_twice():
    _, sentences, _ = log_blocks([*EVENTS, RunEvent("resumed", "cwa", 2)])

    assert "counted twice" in sentences.items[0]


def test_a_run_in_which_nothing_happened_says_so():
    (sentences,) = log_blocks([])

    assert sentences.items[0].startswith("Nothing: every site answered")


def test_epsilon_is_that_of_the_site_that_spent_most(tmp_path):
    """FedAvg has no noisy update, so no epsilon."""
    path = make_run(tmp_path / "first")
    (path / "privacy.json").write_text(json.dumps(ACCOUNT))

    table, sentence, limits = privacy_blocks(read_run(path).privacy)

    assert texts(table) == [["cwa", "4.5", "b", "3"], ["all together", "6", "b", ""]]
    assert sentence.items == (
        "Delta is 1e-05. Neighbours: one site's data replaced. Accounting: Renyi.",
    )
    assert (limits.items, limits.tone) == (("mean loss, every round",), "warning")


def test_a_run_without_noise_says_so():
    (sentences,) = privacy_blocks(None)

    assert "no noise" in sentences.items[0]


def test_reasons_cannot_become_markup(tmp_path):
    """A refused reply's reason may hold what a site sent."""
    path = make_run(tmp_path / "first")
    evil = RunEvent("refused", "cwa", 1, "a", "<script>alert(1)</script>")
    (path / "events.jsonl").write_text(evil.to_json() + "\n")

    page = page_of(path)

    assert page.count("<script>") == 1
    assert re.search(r'<section id="log".*&lt;script&gt;alert', page, re.DOTALL)
