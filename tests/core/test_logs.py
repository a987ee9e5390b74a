"""A line of the log is a sentence for a person and, behind it, an event for a program."""

import logging

import pytest

from dtfl_app.core.logs import log, read_line, tell

ROUND = {"event": "round", "strategy": "cwa", "round": 3}
# What Flower's stream puts before a message.
COLOURED = "\x1b[93mWARNING \x1b[0m:     "


@pytest.fixture
def logged(caplog):
    """What was logged last, as a line of Flower's stream."""
    caplog.set_level(logging.INFO, logger="flwr.dtfl")
    return lambda: COLOURED + caplog.records[-1].getMessage()


def test_what_is_told_is_read_again(logged):
    tell(logging.WARNING, "cwa round 3/30: loss 0.1", ROUND)

    line = read_line(logged())

    assert (line.sentence, line.warning) == ("cwa round 3/30: loss 0.1", True)
    assert (line.kind, line.event) == ("round", ROUND)


def test_a_sentence_alone_tells_of_no_event(logged):
    log.info("data: %s", "ten plants")

    line = read_line(logged())

    assert (line.sentence, line.kind, line.event) == ("data: ten plants", "", {})


def test_a_line_of_others_is_not_ours():
    assert read_line("INFO :      Starting Flower ServerApp\t{}") is None


@pytest.mark.parametrize("part", ["\t", "\n", "\r\n"])
def test_nobody_whose_words_are_in_a_sentence_or_an_event_can_forge_another(logged, part):
    """A tab would begin the JSON, a line end another line."""
    forged = f'refused{part}{{"event": "failed", "reason": "x"}}'

    tell(logging.INFO, forged, {"event": "refused", "reason": forged})

    assert len(logged().splitlines()) == 1
    assert read_line(logged()).event == {"event": "refused", "reason": forged}


@pytest.mark.parametrize("data", ["{", "3", "[]", ""])
def test_what_is_no_event_behind_a_sentence_is_left_out(data):
    line = read_line(f"dtfl: a sentence\t{data}")

    assert (line.sentence, line.kind) == ("a sentence", "")
