"""Alarms as episodes: begun at once, over once, the peak told, whatever stops the process."""

import json

import numpy as np
import pytest

from dtfl_app.bundle.bundle import Bundle, FeaturePlan
from dtfl_app.core.evidence import KINDS
from dtfl_app.detection.episodes import Episodes
from dtfl_app.detection.output import OutputLines
from dtfl_app.detection.scorer import Cause, Step
from dtfl_app.detection.threshold_table import Verdict
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.scaling import Scaler
from dtfl_app.sites.site_schema import SiteSchema
from tests.support.calibrations import calibrated_at
from twin.schema import Channel, Schema

MINUTE = 60_000_000_000
SCHEMA = Schema("one", (Channel("flow", "m3/h", "flow", 0.0, 100.0),), 60.0)


def begun() -> Episodes:
    bundle = Bundle(
        site_schema=SiteSchema(SCHEMA),
        features=FeaturePlan(FeatureSpec(60.0, 60.0, ("last",)), ("flow",), 1, (), False),
        scaler=Scaler(np.zeros(1), np.ones(1)),
        kinds=(KINDS["instant"],),
        rate=0.01,
        smoothing=1,
        calibration=calibrated_at(2.0),
        usual={"instant": np.zeros(1)},
        usual_of="",
        physics=None,
        graph=b"",
        version="0123456789ab",
    )
    return Episodes(OutputLines(bundle, "north"))


def step(minute: int, score: float) -> Step:
    """A step that reads its score; 25 was expected, and 2 is the threshold."""
    causes = (Cause("flow", 1.0, score, 25.0),)
    return Step(minute * MINUTE, Verdict(score, 2.0, 0.5, 0, (0,)), "instant", causes)


def told(episodes: Episodes, *scores: float, start: int = 0) -> list[dict]:
    lines = [line for i, s in enumerate(scores) for line in episodes.add(step(start + i, s), "")]
    return [json.loads(line) for line in lines]


def test_an_episode_begins_at_once_and_is_over_with_the_first_step_without_alarm():
    """Scores 1, 3, 5, 4, 1: the alarm lasts from minute 1 to 3, its peak is minute 2."""
    episodes = begun()

    first, over = told(episodes, 1, 3, 5, 4, 1)

    assert first == {
        "time": "1970-01-01T00:01:00",
        "site": "north",
        "event": "alarm",
        "state": "begins",
        "score": 3,
        "threshold": 2.0,
        "p_value": 0.5,
        "evidence": "instant",
        "channels": [
            {
                "channel": "flow",
                "share": 1.0,
                "reading": 3,
                "expected": 25.0,
                "direction": "below",
                "message": "flow 3 m3/h, below expected 25 m3/h",
            }
        ],
        "message": "flow 3 m3/h, below expected 25 m3/h",
        "model": "0123456789ab",
    }
    assert (over["time"], over["state"]) == ("1970-01-01T00:04:00", "over")
    assert (over["begin"], over["end"]) == ("1970-01-01T00:01:00", "1970-01-01T00:03:00")
    assert (over["steps"], over["peak"], over["score"]) == (3, "1970-01-01T00:02:00", 5)
    assert over["channels"][0]["reading"] == 5
    assert "open" not in over


def test_an_episode_ends_where_its_stretch_does():
    """At its last step, minute 1: rows are missing behind it, and nothing is known of them."""
    episodes = begun()
    told(episodes, 3, 4)

    (line,) = episodes.interrupt()

    over = json.loads(line)
    assert (over["time"], over["end"], over["steps"]) == (
        "1970-01-01T00:01:00", "1970-01-01T00:01:00", 2,
    )  # fmt: skip
    assert episodes.interrupt() == []
    assert [line["state"] for line in told(episodes, 3, start=9)] == ["begins"]


def test_an_episode_that_is_open_where_the_file_ends_is_said_to_be_and_once():
    episodes = begun()
    told(episodes, 3, 4)

    (line,) = episodes.finish()

    assert json.loads(line)["open"] is True
    assert episodes.finish() == []
    assert "open where the file ends" in episodes.listed()[0].text


def test_a_state_goes_on_in_the_middle_of_an_episode():
    whole, first, second = begun(), begun(), begun()
    wanted = told(whole, 3, 5, 1, 4, 4, 1)
    before = told(first, 3, 5, 1, 4)

    second.restore(json.loads(json.dumps(first.state())))

    assert before + told(second, 4, 1, start=4) == wanted
    assert second.listed() == whole.listed()


def test_a_state_of_before_there_were_episodes_begins_without_one():
    episodes = begun()

    episodes.restore(None)

    assert [line["state"] for line in told(episodes, 3, 1)] == ["begins", "over"]


@pytest.mark.parametrize("count", [3, 14])
def test_the_ten_strongest_are_listed_highest_first(count):
    """Episode i has one step, of score 3 + i: 1.5 + i / 2 times the threshold of 2."""
    episodes = begun()
    for number in range(count):
        told(episodes, 3.0 + number, 1.0, start=2 * number)

    listed = episodes.listed()

    assert [one.ratio for one in listed] == [1.5 + i / 2 for i in reversed(range(count))][:10]
    last = 2 * (count - 1)
    assert str(listed[0]) == (
        f"{listed[0].ratio:.3g} times the threshold, 1970-01-01T00:{last:02}:00 to "
        f"1970-01-01T00:{last:02}:00 (1 step): flow {2 + count} m3/h, below expected 25 m3/h"
    )


def test_one_that_goes_on_is_listed_as_such():
    episodes = begun()

    told(episodes, 3, 4)

    assert [one.ratio for one in episodes.listed()] == [2.0]
    assert "(2 steps, still going on)" in episodes.listed()[0].text
    assert episodes.strongest == []
