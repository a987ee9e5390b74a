import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtfl_app.core.errors import ConfigError
from dtfl_app.rounds.norms import NormBound, typical_norm, update_norm


def numbered(*norms: float) -> dict[str, float]:
    """Norms of site-0, site-1 and so on."""
    return {f"site-{number}": norm for number, norm in enumerate(norms)}


def medians(rounds: list[list[float]], limit: float = 10.0) -> tuple[list[float], list[int]]:
    """Running history's last entry and number of refusals, round by round."""
    bound = NormBound(limit)
    refused = [len(bound.refusals(numbered(*norms))) for norms in rounds]
    return bound.history, refused


# --- the length of an update ---------------------------------------------------------------------


def test_the_norm_is_over_all_layers_of_the_reply_and_no_others():
    """Changes (3, 0) and (4): sqrt(9 + 16) = 5, whatever the layer that was not uploaded."""
    base = {"w": np.ones(2, np.float32), "b": np.ones(1, np.float32), "kept": np.ones(9)}
    reply = {"w": np.array([4, 1], np.float32), "b": np.array([5], np.float32)}

    assert update_norm(reply, base) == 5.0


def test_the_norm_of_nothing_is_zero():
    assert update_norm({}, {"w": np.ones(2, np.float32)}) == 0.0


def test_the_norm_neither_overflows_nor_vanishes_in_float32():
    """1e25 squared is beyond float32, 1e-25 squared below it."""
    for size in (1e25, 1e-25):
        reply, base = ({"w": np.full(4, s, np.float32)} for s in (size, 0.0))

        assert update_norm(reply, base) == pytest.approx(2 * size, rel=1e-6)


@pytest.mark.parametrize(
    ("norms", "typical"),
    [
        ([1.0, 2.0, 9.0], 2.0),
        ([1.0, 2.0, 4.0, 9.0], 3.0),
        ([0.0, 0.0, 0.0, 2.0, 4.0], 3.0),  # those that changed something: 2 and 4
        ([0.0, 0.0], 0.0),
        ([], 0.0),
    ],
)
def test_the_typical_norm_is_the_median_of_those_that_moved(norms, typical):
    assert typical_norm(norms) == typical


# --- who is refused ------------------------------------------------------------------------------


def test_the_first_round_is_measured_by_its_own_median():
    """Median of 1, 1, 2, 3, 21 is 2: the limit is 20."""
    bound = NormBound(10.0)

    refused = bound.refusals(numbered(1, 1, 2, 3, 21))

    assert refused == {
        "site-4": "its update is 21 long, the limit is 20, 10 times the running median"
    }
    assert bound.history == [2.0]


def test_later_rounds_are_measured_by_the_median_of_the_rounds_before():
    """Medians 4, 2, 3 have the median 3: 30 is within the limit, 31 is not."""
    bound = NormBound(10.0, [4.0, 2.0, 3.0])

    assert list(bound.refusals(numbered(1, 1, 1, 30, 31))) == ["site-4"]
    assert bound.history == [4.0, 2.0, 3.0, 1.0]


def test_five_rounds_are_remembered():
    """The median of 2 to 6 is 4, not that of 1 to 6."""
    bound = NormBound(10.0, [1.0, 2.0, 3.0, 4.0, 5.0])

    bound.refusals(numbered(6, 6, 6))

    assert bound.history == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert list(bound.refusals(numbered(4, 4, 40, 41))) == ["site-3"]


def test_norms_that_are_no_numbers_are_refused():
    """The median of 1, 1, 1 and an infinite norm is 1."""
    assert list(NormBound(10.0).refusals(numbered(1, 1, 1, math.inf))) == ["site-3"]


@pytest.mark.parametrize("norms", [(1.0,), (1.0, 1000.0)])
def test_without_history_one_or_two_replies_cannot_be_told_apart(norms):
    assert NormBound(10.0).refusals(numbered(*norms)) == {}


def test_with_history_even_a_lone_reply_is_measured():
    bound = NormBound(10.0, [1.0])

    assert bound.refusals({"site-0": 11.0}).keys() == {"site-0"}
    assert bound.refusals({"site-0": 9.0}) == {}
    assert bound.history == [1.0]


def test_replies_that_change_nothing_lock_nobody_out():
    """First all are zero, as where the twin gives all layers; then three sites move."""
    bound = NormBound(10.0)

    assert bound.refusals(numbered(0, 0, 0)) == {}
    assert bound.history == []
    assert bound.refusals(numbered(0, 0, 0, 0, 1, 2, 3)) == {}
    assert bound.history == [2.0]


def test_a_limit_of_zero_refuses_nobody():
    assert NormBound(0.0).refusals(numbered(1, 1, 1, 1e9)) == {}


def test_a_limit_that_would_refuse_half_of_all_replies_is_an_error():
    with pytest.raises(
        ConfigError, match=r"trust.norm-limit = 0\.5; expected 0 \(none\) or at least 1"
    ):
        NormBound(0.5)


def test_a_bound_made_with_a_history_that_was_on_disk_goes_on_the_same():
    rng = np.random.default_rng(0)
    rounds = rng.lognormal(0.0, 1.5, (12, 5)).tolist()
    whole = NormBound(2.0)
    wanted = [whole.refusals(numbered(*norms)) for norms in rounds]

    first = NormBound(2.0)
    got = [first.refusals(numbered(*norms)) for norms in rounds[:6]]
    second = NormBound(2.0, json.loads(json.dumps(first.history)))
    got += [second.refusals(numbered(*norms)) for norms in rounds[6:]]

    assert got == wanted
    assert any(wanted)


# --- honest sites --------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.7])
def test_honest_sites_are_never_refused_while_updates_shrink(decay):
    """Ten sites that differ by a factor of about two, one of them always three times as far."""
    rng = np.random.default_rng(1)
    sizes = decay ** np.arange(60)
    rounds = rng.lognormal(0.0, 0.35, (60, 10)) * sizes[:, None]
    rounds[:, 9] = 3.0 * np.median(rounds[:, :9], axis=1)

    _, refused = medians(rounds.tolist())

    assert refused == [0] * 60


def test_a_site_that_joins_late_may_move_as_far_as_others_did_rounds_ago():
    """Updates shrink by a tenth a round; after 30 rounds a site arrives five times as far off."""
    rounds = [[0.9**t * size for size in (0.8, 0.9, 1.0, 1.1, 1.2)] for t in range(40)]
    for t in range(30, 40):
        rounds[t].append(5.0 * 0.9**t)

    _, refused = medians(rounds)

    assert refused == [0] * 40


def test_a_federation_whose_updates_became_much_longer_goes_on_within_three_rounds():
    """From 1 to 50: refused at 10; each such round enters as 10, and three of five make 10 the
    running median, whose limit is 100."""
    bound = NormBound(10.0, [1.0] * 5)

    refused = [len(bound.refusals(numbered(50, 50, 50))) for _ in range(5)]

    assert refused == [3, 3, 3, 0, 0]


# --- attackers -----------------------------------------------------------------------------------


def test_a_minority_of_attackers_cannot_raise_the_bound_however_patient():
    """Four of ten always send just what is let through; honest norms are 0.8 to 1.2."""
    bound = NormBound(10.0)
    honest = np.linspace(0.8, 1.2, 6).tolist()
    for _ in range(300):
        running = float(np.median(bound.history)) if bound.history else 1.0
        bound.refusals(numbered(*honest, *[10.0 * running] * 4))

    assert max(bound.history) <= 1.2


def test_even_a_majority_of_attackers_raises_the_bound_tenfold_in_three_rounds_at_most():
    """Three of five sites send whatever they like, for nine rounds; the others move by 1."""
    bound = NormBound(10.0, [1.0] * 5)
    running = []
    for _ in range(9):
        bound.refusals(numbered(1, 1, 1e9, 1e9, 1e9))
        running.append(float(np.median(bound.history)))

    assert running[:3] == [1.0, 1.0, 10.0]
    assert all(later <= 10.0 * now for now, later in zip(running, running[3:], strict=False))


@given(
    honest=st.lists(st.floats(0.1, 10.0), min_size=3, max_size=8),
    hostile=st.lists(st.floats(0.0, 1e12), max_size=7),
)
def test_a_round_s_median_lies_among_the_honest_ones_while_they_are_more(honest, hostile):
    bound = NormBound(10.0)

    bound.refusals(numbered(*honest, *hostile[: len(honest) - 1]))

    assert min(honest) <= bound.history[-1] <= max(honest)
