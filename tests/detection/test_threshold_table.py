"""Looked-up thresholds and p-values are the calibration's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dtfl_app.detection.threshold_table import ThresholdTable
from tests.support.calibrations import calibration_of

# Above 0, as every residual is: a threshold of 0 has no ratio to it.
NUMBERS = st.floats(0.01, 4.0, allow_nan=False).map(lambda value: round(value, 2))


@given(
    st.tuples(st.lists(NUMBERS, min_size=1, max_size=90), st.lists(NUMBERS, max_size=40)),
    st.integers(1, 3),
    st.lists(NUMBERS, min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_a_step_is_judged_as_the_calibration_judges_it(scores, kinds, steps):
    calibration = calibration_of(scores, kinds)
    evidence = np.array([[step * (kind + 0.5) for kind in range(kinds)] for step in steps])
    wanted = calibration.judge(evidence, 0.05)

    table = ThresholdTable(calibration, 0.05)
    found = [table.verdict(row) for row in evidence]

    assert [verdict.score for verdict in found] == wanted.score.tolist()
    assert {verdict.threshold for verdict in found} == {wanted.threshold}
    assert [verdict.p_value for verdict in found] == wanted.p_value.tolist()
    assert [verdict.foremost for verdict in found] == wanted.foremost.tolist()


@given(st.lists(NUMBERS, min_size=1, max_size=90), NUMBERS)
@settings(max_examples=60, deadline=None)
def test_the_range_of_a_p_value_holds_the_one_of_all_scores(scores, step):
    """Counted out, p lies between (above) / (N + 1) and (1 + at or above) / (N + 1)."""
    table = ThresholdTable(calibration_of((scores, []), 1), 0.05)
    cell = table.verdict(np.array([step])).cells

    largest, smallest = table.p_range(0, np.array(cell))

    above, total = np.sum(np.array(scores) > step), len(scores)
    at_or_above = np.sum(np.array(scores) >= step)
    assert largest[0] >= (1 + at_or_above) / (total + 1) - 1e-12
    assert smallest[0] <= above / (total + 1) + 1e-12


def test_without_calibration_scores_nothing_is_an_alarm():
    verdict = ThresholdTable(calibration_of(([], []), 2), 0.05).verdict(np.array([1e9, 1e9]))

    assert not verdict.alarm
    assert verdict.p_value == 1.0
