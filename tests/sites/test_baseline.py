"""Recordings standardised by their beginnings: by hand, whole, and step by step."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dtfl_app.sites.baseline import Baseline, RunningBaseline, standardised

SPANS = np.array([10.0, 2000.0])


def test_a_baseline_by_hand():
    """Means 2 and 100, deviations sqrt(2/3) and at least 1e-3 of the span, 2."""
    steps = np.array([[1, 100], [2, 100], [3, 100], [4, 106]], dtype=np.float32)

    found, behind = standardised(steps, np.array(["a"] * 4), SPANS, least=3)

    assert behind.tolist() == [False, False, False, True]
    assert found[3].tolist() == pytest.approx([2 / np.sqrt(2 / 3), 3.0])


def test_recordings_at_other_operating_points_become_alike():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(300, 2)).astype(np.float32)
    steps = np.concatenate([one, one * np.float32(4) + np.float32(64)])
    instance = np.repeat(["a", "b"], 300)

    found, behind = standardised(steps, instance, SPANS * 0, least=100)

    first, second = found[behind][:200], found[behind][200:]
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_a_recording_shorter_than_its_baseline_has_no_steps():
    steps = np.ones((5, 2), dtype=np.float32)

    _, behind = standardised(steps, np.array(list("aabbb")), SPANS, least=3)

    assert not behind.any()


def test_a_channel_without_a_reading_in_the_baseline_is_missing():
    steps = np.array([[1, np.nan], [2, np.nan], [3, 5]], dtype=np.float32)

    found, _ = standardised(steps, np.array(["a"] * 3), SPANS, least=2)

    assert np.isnan(found[2, 1]) and found[2, 0] == 3.0


def test_undo_gives_the_units_back():
    own = Baseline.of(np.array([[1, 5], [3, 9]], dtype=np.float32), SPANS)
    steps = np.array([[7.0, -2.0]])

    np.testing.assert_allclose(own.undo(own.apply(steps.astype(np.float32))), steps, rtol=1e-6)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.just(2)),
        elements=st.floats(-1000, 1000, width=32) | st.just(np.nan),
    ),
    st.integers(1, 12),
    st.integers(0, 30),
)
def test_step_by_step_is_the_same_to_the_bit_also_across_a_restart(steps, least, stop):
    whole, behind = standardised(steps, np.array(["a"] * len(steps)), SPANS, least)
    running, found = RunningBaseline(SPANS, least), []
    for place, step in enumerate(steps):
        if place == stop:
            kept = json.loads(json.dumps(running.state()))
            running = RunningBaseline(SPANS, least)
            running.restore(kept)
        made = running.step(step)
        if made is not None:
            found.append(made)

    assert len(found) == behind.sum()
    np.testing.assert_array_equal(np.array(found).reshape(-1, 2), whole[behind])
