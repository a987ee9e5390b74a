import numpy as np
import pytest

from dtfl_app.rounds.aggregation import clip_updates

BASE = {"w": np.array([1.0, 1.0], np.float32), "other": np.zeros(3, np.float32)}


def params(*values: float):
    return {"w": np.array(values, dtype=np.float32)}


def test_long_updates_are_shortened_to_the_typical_one_in_their_direction():
    """Updates (3, 4), (0, 5), (30, 40), lengths 5, 5, 50, median 5: the last becomes (3, 4)."""
    clipped = clip_updates([params(4, 5), params(1, 6), params(31, 41)], BASE, 1.0)

    assert [reply["w"].tolist() for reply in clipped] == [[4, 5], [1, 6], [4, 5]]
    assert clipped[2]["w"].dtype == np.float32


def test_the_factor_allows_so_many_times_the_typical_length():
    """Lengths 5, 5, 50; three times 5 is 15: (30, 40) becomes (9, 12)."""
    clipped = clip_updates([params(4, 5), params(1, 6), params(31, 41)], BASE, 3.0)

    assert clipped[2]["w"].tolist() == pytest.approx([10, 13])


def test_updates_of_no_length_do_not_shorten_the_others():
    """Lengths 0, 0, 0, 5, 10: the median of those that moved is 7.5."""
    still = params(1, 1)

    clipped = clip_updates([still, still, still, params(4, 5), params(7, 9)], BASE, 1.0)

    assert [reply["w"].tolist() for reply in clipped[:4]] == [[1, 1], [1, 1], [1, 1], [4, 5]]
    assert clipped[4]["w"].tolist() == pytest.approx([1 + 4.5, 1 + 6])


@pytest.mark.parametrize(("factor", "replies"), [(0.0, [(4, 5), (31, 41)]), (1.0, [(1, 1)])])
def test_without_a_factor_or_any_update_nothing_is_shortened(factor, replies):
    clipped = clip_updates([params(*values) for values in replies], BASE, factor)

    assert [tuple(reply["w"].tolist()) for reply in clipped] == replies
