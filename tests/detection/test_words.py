"""What is said of the channels behind an alarm."""

import pytest

from dtfl_app.core.evidence import KINDS
from dtfl_app.detection.scorer import Cause
from dtfl_app.detection.words import CauseWords
from twin.schema import Channel, Schema

SCHEMA = Schema(
    "small",
    (
        Channel("flow", "m3/h", "flow", 0.0, 100.0),
        Channel("pump", "1", "status", 0.0, 1.0),
        Channel("P", "Pa", "pressure", 0.0, 5e7),
    ),
    60.0,
)
WORDS = CauseWords(SCHEMA, tuple(KINDS.values()))


@pytest.mark.parametrize(
    ("channel", "reading", "expected", "direction", "told"),
    [
        ("flow", 12.0, 25.0, "below", "flow 12 m3/h, below expected 25 m3/h"),
        ("flow", 30.04, 25.0, "above", "flow 30.04 m3/h, above expected 25 m3/h"),
        ("flow", 25.0, 25.0, None, "flow 25 m3/h, expected 25 m3/h"),
        ("flow", None, 25.0, None, "flow missing, expected 25 m3/h"),
        ("flow", None, None, None, "flow missing"),
        ("flow", 12.0, None, None, "flow 12 m3/h"),
        ("flow", 0.0, -0.00004, "above", "flow 0 m3/h, above expected -4e-05 m3/h"),
        ("P", 13245678.0, 9000000.0, "above", "P 13250000 Pa, above expected 9000000 Pa"),
        ("P", 101325.0, 101326.0, "below", "P 101325 Pa, below expected 101326 Pa"),
        ("P:mean", 5.0, 7.0, "below", "mean of P 5 Pa, below expected 7 Pa"),
        ("P:std", 5.0, 7.0, "below", "standard deviation of P 5 Pa, below expected 7 Pa"),
        ("flow:change", -2.0, 0.5, "below", "change of flow -2 m3/h, below expected 0.5 m3/h"),
        # A state is not above another, and a model's 0.03 stands for 0.
        ("pump", 1.0, 0.03, None, "pump 1, expected 0"),
        ("pump", 1.0, -0.2, None, "pump 1, expected 0"),
        ("pump", 1.0, 0.6, None, "pump 1, expected 0.6"),
        ("pump:mean", 0.25, 1.0, "below", "mean of pump 0.25, below expected 1"),
    ],
)
def test_a_channel_is_said_with_its_unit_and_what_is_expected(
    channel, reading, expected, direction, told
):
    cause = Cause(channel, 1.0, reading, expected)

    assert WORDS.direction(cause) == direction
    assert WORDS.describe(cause, "smoothed") == told


def test_a_law_says_which_it_is():
    switched, pressure = Cause("pump", 1.0, 1.0, 0.0), Cause("P", 1.0, 5.0, 7.0)
    level = Cause("flow", 1.0, 3.0, None)

    assert WORDS.describe(switched, "plc") == "pump 1, expected 0 by its set-points"
    assert WORDS.describe(pressure, "pump") == "P 5 Pa, below expected 7 Pa by its pumps' curves"
    assert WORDS.describe(level, "balance").startswith("flow 3 m3/h, its district's water balance")
    assert WORDS.describe(Cause("pump", 1.0, None, None), "plc") == "pump missing"


def test_a_message_names_the_first_channel_and_others_that_weigh_a_quarter():
    """Shares 0.2, 0.5 and 0.1: the first is the one that stands out, whatever its share."""
    causes = (
        Cause("pump", 0.2, 1.0, 0.0),
        Cause("flow", 0.5, 12.0, 25.0),
        Cause("P", 0.1, 5.0, 7.0),
    )

    message = WORDS.message(causes, "instant")

    assert message == "pump 1, expected 0; flow 12 m3/h, below expected 25 m3/h"
    assert WORDS.message((), "instant") == ""
