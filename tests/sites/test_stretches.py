"""Interruptions of a recording, and the rows that fill them."""

import numpy as np
import pytest

from dtfl_app.sites.stretches import GapFilling, fill_gaps
from twin.schema import Channel, Schema

SECOND = 10**9
TRIO = Schema(
    "trio",
    (
        Channel("p", "Pa", "pressure", 0.0, 100.0),
        Channel("on", "1", "status", 0.0, 1.0),
        Channel("q", "L/s", "flow", 0.0, 100.0),
    ),
    1.0,
)
NAN = float("nan")


def filled(seconds, fill="hold", longest=5.0, values=None):
    """Rows that fill the gaps of a recording with rows at these `seconds`."""
    time = np.array([round(second * SECOND) for second in seconds], np.int64)
    if values is None:
        values = np.zeros((time.size, 3))
    return fill_gaps(time, np.array(values, dtype=float), TRIO, GapFilling(longest, fill))


@pytest.mark.parametrize(
    ("step", "times"),
    [
        (1.0, []),
        (1.4, []),
        (1.5, []),  # no more than 1.5 periods: jitter of the clock
        (1.6, [1]),
        (2.0, [1]),
        (2.5, [1]),  # 1.5 s before the next
        (2.6, [1, 2]),
        (4.9, [1, 2, 3, 4]),
        (5.0, [1, 2, 3, 4]),
        (5.1, []),  # longer than the longest gap to fill
    ],
)
def test_rows_stand_on_the_grid_of_the_row_before(step, times):
    assert (filled([0, step]).time / SECOND).tolist() == times


def test_every_gap_has_the_rows_that_are_missing_in_it():
    """Steps of 1, 3, 1, 2 and 9 s: two rows after row 1, one after row 3, none in the longest."""
    found = filled([0, 1, 4, 5, 7, 16])

    assert found.before.tolist() == [1, 1, 3]
    assert (found.time / SECOND).tolist() == [2, 3, 6]


def test_hold_repeats_the_readings_before_the_gap():
    found = filled([0, 3], "hold", values=[[10, 0, NAN], [40, 1, 7]])

    np.testing.assert_array_equal(found.values, [[10, 0, NAN]] * 2)


def test_interpolate_goes_linearly_to_those_after_it_and_holds_a_status():
    """A third and two thirds of the way from 10 to 40 and from 9 to 3."""
    found = filled([0, 3], "interpolate", values=[[10, 0, 9], [40, 1, 3]])

    np.testing.assert_allclose(found.values, [[20, 0, 7], [30, 0, 5]], rtol=1e-12)


@pytest.mark.parametrize("bad", [NAN, -1.0, 101.0])
def test_missing_and_impossible_readings_are_missing_in_the_gap(bad):
    after = filled([0, 2], "interpolate", values=[[10, 0, 5], [bad, 1, 5]])
    before = filled([0, 2], "hold", values=[[bad, 0, 5], [10, 1, 5]])

    np.testing.assert_array_equal(after.values, [[NAN, 0, 5]])
    np.testing.assert_array_equal(before.values, [[NAN, 0, 5]])


@pytest.mark.parametrize("seconds", [[], [0]])
def test_fewer_than_two_rows_have_no_gap(seconds):
    assert filled(seconds).time.size == 0
