import math

import pandas as pd

from dtfl_app.bench.cell_text import over_seeds, per_fold, rounds_text


def lines(**columns):
    return pd.DataFrame({"horizon": 50, **columns})


def test_rounds_are_listed_per_seed_with_what_was_not_reached_or_not_run():
    some = lines(seed=[2, 0], fold="", r=[7.0, math.nan])

    assert rounds_text(some, "r", [0, 1, 2]) == "-, ?, 7"


def test_rounds_that_no_seed_reached_are_told_with_the_horizon():
    none = lines(seed=[0, 1], fold="", r=math.nan)

    assert rounds_text(none, "r", [0, 1]) == "not in 50"


def test_with_folds_the_median_and_how_many_got_there():
    """Reached after 1, 2 and 9 rounds, once not at all."""
    folds = lines(seed=[0, 0, 1, 1], fold=["a", "b", "a", "b"], r=[1.0, 9.0, math.nan, 2.0])

    assert rounds_text(folds, "r", [0, 1]) == "median 2 (3 of 4 runs)"
    assert rounds_text(folds.assign(r=math.nan), "r", [0, 1]) == "never in 4 runs"


def test_folds_are_averaged_within_a_seed_and_seeds_within_a_fold():
    """Seed 0: (1 + 3) / 2 = 2, seed 1: 5, for its other fold has no figure. Fold a: (1 + 5) / 2."""
    some = lines(seed=[0, 0, 1, 1], fold=["a", "b", "a", "b"], x=[1.0, 3.0, 5.0, math.nan])

    assert over_seeds(some, "x") == [2.0, 5.0]
    assert per_fold(some, "x") == {"a": 3.0, "b": 3.0}
