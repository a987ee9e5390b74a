"""The scripts behind the figures of docs/trust.md."""

import numpy as np
import pytest

from benchmarks import robust_rules
from benchmarks.update_norms import Recorder, rows


def test_updates_are_recorded_as_multiples_of_the_running_median():
    """Round 1 by its own median, 2; round 2 by the median of round 1; nothing moved: nothing."""
    Recorder.multiples = []
    recorder = Recorder(1e9)

    for norms in ({"a": 1.0, "b": 2.0, "c": 6.0}, {"a": 8.0, "b": 4.0}):
        assert recorder.refusals(norms) == {}
    Recorder(1e9).refusals({"a": 0.0, "b": 0.0})

    assert Recorder.multiples == [[0.5, 1.0, 3.0, 4.0, 2.0], []]


def test_a_row_counts_the_updates_above_each_limit():
    """2, 4, 12, 40: the longest is 40; three are above 3, two above 10, one above 30."""
    (row,) = rows("plants", {"cwa": [2.0, 4.0, 12.0, 40.0]})

    assert row == ["plants", "cwa", "4", "40.0", "3", "2", "1"]


@pytest.mark.parametrize(("size", "exact"), [(1.0, True), (1e-4, False)])
def test_flower_s_distances_hold_for_long_updates_and_fail_for_short_ones(size, exact):
    """Squares near 100 have a spacing of 8e-6 in float32; squared distances are near 1 and 1e-8."""
    theirs, ours, error = robust_rules.chosen(np.random.default_rng(1), size)

    assert (error < 1e-3) == exact
    assert ours >= robust_rules.MALICIOUS
    assert not exact or theirs == ours
