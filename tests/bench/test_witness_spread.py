"""Whom the rules of the witness's benchmark accuse, and what its attackers send."""

import numpy as np
import pytest

from benchmarks.witness_spread import (
    RULES,
    SHARES,
    Round,
    accused_share,
    attack_row,
    attacks,
    by_change,
    by_loss,
    largest,
)

HONEST = {"a": 1.0, "b": 1.2, "c": 1.1, "d": 0.9, "e": 2.5}


def seen(**changes) -> Round:
    figures = {"number": 1, "before": 1.5, "chance": 0.0, "honest": HONEST, "training": {}}
    return Round(**{**figures, **changes})


def test_the_loss_rule_accuses_above_so_many_times_the_median():
    """Median 1.1: e is at 2.27 times."""
    assert by_loss(2.0)(seen(), HONEST) == {"e"}
    assert by_loss(2.3)(seen(), HONEST) == set()


def test_nobody_below_chance_is_accused():
    assert by_loss(2.0)(seen(chance=3.0), HONEST) == set()


def test_the_change_rule_accuses_above_so_many_times_the_median_change():
    """Changes since 1.5 are 0.5, 0.3, 0.4, 0.6 and 1.0 in size, median 0.5; e is 1.4 above 1.1."""
    assert by_change(2.7)(seen(), HONEST) == {"e"}
    assert by_change(2.9)(seen(), HONEST) == set()


def test_the_spread_is_the_worst_honest_loss_over_its_rounds_median():
    """2.5 / 1.1 in the one round, 1 in the other; e is one of ten replies."""
    rounds = [seen(), seen(honest=dict.fromkeys(HONEST, 1.0))]

    assert largest(rounds) == "2.27"
    assert accused_share(RULES["loss > 2"], rounds) == pytest.approx(0.1)


def test_attackers_and_honest_sites_are_counted_apart():
    """With d at 9 the median is 1.2: d and e, one of four honest sites, are above 2 times it.

    9 is 7.5 times it, so nobody is above 8 times.
    """
    poisoned = {("scaling", share): {"d": 9.0} for share in SHARES}

    row = attack_row("scaling", [seen(attacked=poisoned)])

    assert row[:3] == ["scaling", "100% / 25%", "0% / 0%"]


def test_each_share_of_the_sites_attacks_in_every_way():
    """Of ten sites, two and four; a scaled update is ten times the honest one."""
    updates = {f"site-{i}": {"w": np.full(3, float(i), np.float32)} for i in range(10)}

    found = {(attack, share): poisoned for attack, share, poisoned in attacks(updates, 1)}

    assert {share: len(found["scaling, 10 u", share]) for share in SHARES} == {0.2: 2, 0.4: 4}
    for name, update in found["scaling, 10 u", 0.4].items():
        np.testing.assert_array_equal(update["w"], 10 * updates[name]["w"])
    colluding = list(found["little is enough", 0.4].values())
    assert all(np.array_equal(colluding[0]["w"], one["w"]) for one in colluding)
